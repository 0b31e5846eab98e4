import asyncio
import io
import json

import pytest
from rich.console import Console
from ssh_server import make_bundle, tar_of

from erpose_edge.cli import remote
from erpose_edge.deploy.remote.fleet import push_fleet
from erpose_edge.deploy.remote.hosts import Fleet
from erpose_edge.deploy.remote.results import Event, PushOptions, PushResult, worst_exit_code
from erpose_edge.errors import RequestError
from erpose_edge.schemas import load_schema


def fleet_on(server, folder, hosts, broken=(), **settings):
    """Name the one server ``hosts`` times, each with a folder; broken ones have a wrong port."""
    dead = server.config_with("dead", Port=1)
    named = [
        server.host(
            folder / f"board{number}",
            host=f"board{number}",
            **({"ssh_config": dead} if number in broken else {}),
        )
        for number in range(hosts)
    ]
    return Fleet(hosts=named, **settings)


def pushed(fleet, folder, report=lambda event: None, **plan):
    bundle = make_bundle(folder / "bundle", **plan)
    return asyncio.run(push_fleet(fleet, tar_of(bundle.folder), bundle, PushOptions(), report))


@pytest.mark.slow
def test_the_failure_of_one_host_stops_no_other_and_few_work_at_once(server, tmp_path):
    fleet = fleet_on(server, tmp_path, 4, broken=[1], concurrency=2)
    working, most = set(), 0

    def report(event):
        nonlocal most
        if event.phase in ("served", "failed"):
            working.discard(event.host)
        else:
            working.add(event.host)
        most = max(most, len(working))

    results = pushed(fleet, tmp_path, report)
    assert [result.status for result in results] == ["served", "failed", "served", "served"]
    assert [result.host for result in results] == ["board0", "board1", "board2", "board3"]
    assert results[1].reason.startswith("board1: expected sshd to answer, got ")
    assert (worst_exit_code(results), most) == (5, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "canary", "expected"),
    [
        ([1], 2, ["served", "failed", "untouched"]),
        ([2], 2, ["served", "served", "failed"]),
        ([0], 0, ["failed", "served", "served"]),
    ],
)
def test_a_failed_canary_leaves_the_others_untouched(server, tmp_path, broken, canary, expected):
    fleet = fleet_on(server, tmp_path, 3, broken, canary=canary)
    results = pushed(fleet, tmp_path)
    assert [result.status for result in results] == expected
    for number, result in enumerate(results):
        assert (tmp_path / f"board{number}").exists() == (result.status == "served")
        if result.status == "untouched":
            assert (result.exit_code, result.reason) == (
                0,
                "not touched, as the canary board1 failed",
            )


def test_a_canary_that_is_too_slow_has_failed_too(server, tmp_path):
    fleet = fleet_on(server, tmp_path, 2, canary=1)
    results = pushed(fleet, tmp_path, benchmark=4)
    assert [(result.status, result.exit_code) for result in results] == [
        ("kept", 4),
        ("untouched", 0),
    ]


@pytest.mark.parametrize(
    ("codes", "worst"), [([0, 4, 3], 3), ([3, 5], 5), ([5, 2, 4], 2), ([2, 6], 6), ([0, 0], 0)]
)
def test_the_gravest_exit_code_is_that_of_all(codes, worst):
    assert worst_exit_code([PushResult("a", "failed", code) for code in codes]) == worst


@pytest.mark.slow
def test_the_command_line_prints_a_line_for_each_host_or_one_document(server, tmp_path, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    fleet = fleet_on(server, tmp_path, 2, broken=[1])
    bundle = make_bundle(tmp_path / "bundle")
    given = (fleet, tar_of(bundle.folder), bundle, PushOptions(), tmp_path / "certificates")
    assert remote.push(*given) == 5
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == f"board0: served, serves {bundle.name}"
    assert shown.out.splitlines()[1].startswith("board1: failed: board1: expected sshd to answer")
    assert shown.out.splitlines()[2:] == [
        "1 of 2 hosts done, exit code 5",
        f"certificates: {tmp_path / 'certificates'}",
    ]
    assert "board0: upload: " in shown.err
    assert "board0: selftest: selftest at work" in shown.err
    assert [path.name for path in (tmp_path / "certificates").iterdir()] == ["board0.json"]
    assert remote.push(*given, as_json=True) == 5
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, load_schema("push"))
    assert document["exit_code"] == 5
    assert remote.roll_back(fleet_on(server, tmp_path, 1), "tiny", PushOptions()) == 5
    assert "no earlier release is here and whole" in capsys.readouterr().out


def test_the_live_table_shows_every_host(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(remote, "messages", screen)
    with remote._live(["a", "b", "c"]) as report:
        report(Event("a", "upload", "1.0 MB/s, 3 s left", 40, 100))
        report(Event("b", "served", "[red]not markup[/red]"))
    shown = screen.file.getvalue()
    for part in ("40%", "1.0 MB/s, 3 s left", "[red]not markup[/red]", "waiting", "served"):
        assert part in shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"host": None, "hosts": None}, "push: expected --host or --hosts, got neither; give one"),
        ({"host": "a", "hosts": "f.yaml"}, "push: expected --host or --hosts, got both; give one"),
        (
            {"host": None, "hosts": "f.yaml", "path": "p"},
            "--path: expected with --host, got --hosts; write it into f.yaml for each host",
        ),
    ],
)
def test_one_host_or_a_file_of_hosts_is_named(given, expected):
    with pytest.raises(RequestError) as caught:
        remote.fleet_of(**given)
    assert str(caught.value).startswith(expected)

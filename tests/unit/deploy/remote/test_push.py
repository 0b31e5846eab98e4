"""Pushes over real ssh: what serves afterwards, and what is said."""

import asyncio
import itertools
import json

import pytest
from ssh_server import CuttingProxy, tar_of

from erpose_edge.deploy.remote import session, upload
from erpose_edge.deploy.remote.connect import connected
from erpose_edge.deploy.remote.push import push_release, rollback
from erpose_edge.deploy.remote.results import PHASES, PushOptions, save_certificates
from erpose_edge.deploy.remote.session import Board
from erpose_edge.errors import IntegrityError, TargetError

BLOCK = 1 << 16  # of uploads in these tests
PAYLOAD = 10 * BLOCK


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(upload, "BLOCK", BLOCK)


@pytest.mark.slow
def test_a_push_ends_in_a_certificate_and_a_rollback_brings_the_old_one_back(any_pusher):
    first, second = any_pusher.bundle(1), any_pusher.bundle(2)
    result = any_pusher.push(first)
    assert (result.status, result.exit_code, result.reason) == ("served", 0, None)
    assert (result.release, result.previous) == (first.name, None)
    assert result.uploaded_bytes == tar_of(first.folder).stat().st_size
    phases = [name for name, _ in itertools.groupby(any_pusher.events, lambda e: e.phase)]
    assert phases == list(PHASES)
    assert "benchmark at work" in {event.text for event in any_pusher.events}
    kept = any_pusher.root / "releases" / first.name / "certificate.json"
    assert json.loads(kept.read_text()) == result.certificate
    assert result.certificate["verdict"]["pass"]

    result = any_pusher.push(second)
    assert (any_pusher.current, result.previous) == (second.name, first.name)
    host = any_pusher.server.host(any_pusher.root)
    back = asyncio.run(rollback(host, "tiny", PushOptions(), any_pusher.events.append))
    assert (back.status, back.release, back.previous) == ("rolled back", first.name, second.name)
    assert any_pusher.current == first.name
    with pytest.raises(TargetError) as caught:
        asyncio.run(rollback(host, "tiny", PushOptions(), any_pusher.events.append))
    assert str(caught.value) == (
        f"board: expected to rollback in {any_pusher.root}, got: no earlier release is here and "
        "whole; mend that on the board and push again"
    )


@pytest.mark.slow
def test_an_upload_that_was_cut_goes_on_where_it_ended(any_pusher, small_blocks):
    server, bundle = any_pusher.server, any_pusher.bundle(1, payload=PAYLOAD)
    tar = tar_of(bundle.folder)

    async def cut_push():
        async with CuttingProxy(server.port, PAYLOAD // 2) as port:
            known = server.write_known_hosts("cut_hosts", port, server.folder / "host_key.pub")
            config = server.config_with("cut_config", Port=port, UserKnownHostsFile=known)
            host = server.host(any_pusher.root, ssh_config=config)
            return await push_release(host, tar, bundle, PushOptions(), any_pusher.events.append)

    with pytest.raises(TargetError) as caught:
        asyncio.run(cut_push())
    assert str(caught.value).startswith("board: upload: expected the connection to last, got ")
    assert str(caught.value).endswith(
        "; what served there still does: push again, which goes on from here"
    )
    (part,) = (any_pusher.root / "incoming").glob("*.tar.part")
    there = part.stat().st_size
    assert 2 * BLOCK < there < tar.stat().st_size

    result = any_pusher.push(bundle)
    assert result.status == "served"
    assert 0 < result.resumed_bytes <= there
    assert result.resumed_bytes + result.uploaded_bytes == tar.stat().st_size
    took_over = [event.text for event in any_pusher.events if "took over" in event.text]
    assert len(took_over) == 1
    assert took_over[0].endswith(", which ended before it was done")
    assert not list((any_pusher.root / "incoming").glob("*.part"))


@pytest.mark.slow
def test_a_part_with_wrong_bytes_is_sent_again_from_its_start(pusher, small_blocks):
    bundle = pusher.bundle(1, payload=PAYLOAD)
    tar = upload.Archive.of(tar_of(bundle.folder))
    incoming = pusher.root / "incoming"
    incoming.mkdir(parents=True)
    (incoming / f"{tar.sha256}.tar.part").write_bytes(bytes(5 * BLOCK))
    result = pusher.push(bundle)
    assert (result.status, result.resumed_bytes) == ("served", 0)
    assert result.uploaded_bytes == (tar.size - 4 * BLOCK) + tar.size


def test_an_archive_that_never_arrives_is_damaged(pusher, monkeypatch):
    bundle = pusher.bundle(1)
    real = upload.Archive.of(tar_of(bundle.folder))
    wrong = upload.Archive(real.path, "0" * 64, real.size)
    monkeypatch.setattr(upload.Archive, "of", lambda path: wrong)
    with pytest.raises(IntegrityError) as caught:
        pusher.push(bundle)
    assert str(caught.value) == (
        f"board: expected the archive to arrive as {'0' * 64}, got other bytes twice; check the "
        "disk and the memory of the board"
    )
    assert not list((pusher.root / "incoming").glob("*.tar.part"))


def test_a_full_disk_is_named_and_the_old_release_serves_on(pusher):
    bundle = pusher.bundle(1, payload=PAYLOAD)
    tar = upload.Archive.of(tar_of(bundle.folder))
    incoming = pusher.root / "incoming"
    incoming.mkdir(parents=True)
    # The kernel's own full disk: every write to this device fails with ENOSPC.
    (incoming / f"{tar.sha256}.tar.part").symlink_to("/dev/full")
    with pytest.raises(TargetError) as caught:
        pusher.push(bundle)
    line = str(caught.value)
    assert line.startswith(
        f"board: expected to write {tar.size / 1e6:.1f} MB to {incoming}, "
        "got 'No space left on device' after 0.0 MB ("
    )
    assert line.endswith(
        " MB free); make room there, for example with --keep 1, and push again: the upload goes on "
        "from there"
    )
    assert not (pusher.root / "current").exists()


@pytest.mark.slow
def test_a_release_that_fails_does_not_serve(pusher):
    old = pusher.bundle(1)
    pusher.push(old)
    code_5 = "expected success, got the code 5; mend it"
    for number, (plan, status, code, reason) in enumerate(
        (
            ({"build": 5}, "failed", 5, f"build: build: {code_5}"),
            ({"build": 1}, "failed", 5, f"build: build: {code_5.replace('5', '1')}"),
            ({"selftest": 3}, "kept", 3, "selftest: 2 poses of 3 pictures are not found"),
            ({"benchmark": 3}, "kept", 3, "too few keypoints"),
            ({"benchmark": 4}, "kept", 4, "too slow"),
        )
    ):
        result = pusher.push(pusher.bundle(2 + number, **plan))
        assert (result.status, result.exit_code, result.reason) == (status, code, reason)
        assert result.release == old.name == pusher.current


def test_a_slow_release_serves_if_that_is_accepted(pusher):
    bundle = pusher.bundle(2, benchmark=4)
    result = pusher.push(bundle, PushOptions(accept_slow=True))
    assert (result.status, result.exit_code, result.reason) == (
        "served",
        0,
        "accepted although too slow",
    )


@pytest.mark.slow
def test_old_releases_are_removed_and_a_release_that_is_there_is_not_sent_again(pusher):
    bundles = [pusher.bundle(number) for number in range(3)]
    for bundle in bundles:
        pusher.push(bundle, PushOptions(keep=2))
    assert pusher.releases == {bundles[1].name, bundles[2].name}
    result = pusher.push(bundles[1], PushOptions(keep=2))
    assert (result.status, result.uploaded_bytes) == ("served", 0)
    assert pusher.current == bundles[1].name


def test_two_pushes_to_one_folder_exclude_each_other(pusher, monkeypatch):
    quick = session._PROGRAM.replace("LOCK_WAIT_S = 5.0", "LOCK_WAIT_S = 0.2")
    monkeypatch.setattr(session, "_PROGRAM", quick)
    bundle = pusher.bundle(1, seconds=20)
    host = pusher.server.host(pusher.root)

    async def both():
        working = asyncio.Event()

        def report(event):
            if event.text == "build at work":
                working.set()

        first = asyncio.create_task(
            push_release(host, tar_of(bundle.folder), bundle, PushOptions(), report)
        )
        await asyncio.wait_for(working.wait(), 20)
        try:
            with pytest.raises(TargetError) as caught:
                await push_release(host, tar_of(bundle.folder), bundle, PushOptions(), print)
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        return str(caught.value)

    line = asyncio.run(both())
    assert line.startswith(f"board: expected nobody else to push to {pusher.root}, got a push of ")
    assert line.endswith("); wait until it ends")


@pytest.mark.slow
def test_a_push_that_takes_too_long_ends_and_so_does_its_command(pusher):
    bundle = pusher.bundle(1, seconds=30)
    with pytest.raises(TargetError) as caught:
        pusher.push(bundle, PushOptions(timeout_s=1.5))
    assert "expected an end within 1.5 s, got " in str(caught.value)
    again = pusher.bundle(2)
    assert pusher.push(again).status == "served"


def test_certificates_are_saved_by_host(pusher, tmp_path):
    result = pusher.push(pusher.bundle(1))
    (path,) = save_certificates([result], tmp_path / "certificates")
    assert path.name == "board.json"
    assert json.loads(path.read_text()) == result.certificate


def test_what_a_board_says_cannot_steer_the_terminal(pusher):
    async def said():
        lines = []
        async with connected(pusher.server.host(pusher.root)) as connection:
            board = Board(connection, "board", str(pusher.root))
            words = [
                "sh",
                "-c",
                r"""printf '\033[2Jgone\a\n' >&2; printf '%s' "$0" """,
                "$(id); `id`",
            ]
            finished = await board.execute(words, lines.append)
        return lines, finished

    lines, finished = asyncio.run(said())
    assert lines == ["[2Jgone"]
    assert finished.output == "$(id); `id`"  # words stay words

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.deploy.remote.hosts import HostOptions, load_fleet, parse_host
from erpose_edge.errors import ConfigError

_NAME = st.from_regex(r"[a-z][a-z0-9.-]{0,10}", fullmatch=True)


@given(_NAME, st.none() | _NAME, st.none() | st.integers(1, 65535))
def test_a_label_is_read_back_as_the_same_host(host, user, port):
    written = HostOptions(host=host, user=user, port=port).label
    assert parse_host(written) == HostOptions(host=host, user=user, port=port)


def test_an_ipv6_address_is_in_brackets():
    assert parse_host("nano@[fe80::1%eth0]:2222") == HostOptions(
        host="fe80::1%eth0", user="nano", port=2222
    )
    assert parse_host("[::1]").label == "[::1]"


@pytest.mark.parametrize(
    "written",
    ["", "a b", "-oProxyCommand=x", "user@-x", "a;b", "$(x)", "a:", "a@b@c", "a:b", "a\n"],
)
def test_what_is_no_host_is_refused(written):
    with pytest.raises(ConfigError) as caught:
        parse_host(written)
    assert str(caught.value) == (
        f"--host: expected [user@]host[:port], got {written!r}; an IPv6 address is in brackets"
    )


@given(st.text(max_size=12))
def test_no_character_of_a_shell_gets_into_a_host(written):
    try:
        host = parse_host(written)
    except ConfigError:
        return
    assert not set(host.label) & set(" \t\n;|&$<>`'\"\\(){}*?!#~=/")


@pytest.mark.parametrize(
    "path", ["a;b", "a b", "../up", "a/../b", "-rf", "/", "", "a//b", "$HOME", "~"]
)
def test_a_folder_that_is_not_plain_is_refused(path):
    with pytest.raises(ConfigError) as caught:
        parse_host("board", {"path": path})
    assert str(caught.value) == (
        "--host board: path: expected a folder of letters, digits and _ . + - between slashes, "
        f"got {path!r}"
    )


def test_a_folder_under_home_is_relative_to_it():
    assert parse_host("board", {"path": "~/pose/a"}).root("t") == "pose/a"
    assert parse_host("board").root("jetson-orin") == "erpose-edge/jetson-orin"


def test_a_target_that_can_be_no_folder_needs_a_path():
    with pytest.raises(ConfigError) as caught:
        parse_host("board").root("my target")
    assert str(caught.value) == (
        "board: expected a target whose name can be a folder, got 'my target'; "
        "give the folder with --path"
    )


def test_a_fleet_takes_both_ways_to_write_a_host(tmp_path):
    file = tmp_path / "fleet.yaml"
    file.write_text("hosts:\n- nano@a:22\n- {host: b, path: /opt/pose}\ncanary: 1\n")
    fleet = load_fleet(file)
    assert [host.label for host in fleet.hosts] == ["nano@a:22", "b"]
    assert (fleet.canary, fleet.concurrency) == (1, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hosts: [a]\ncanaries: 1\n", "2: canaries: unknown key; did you mean 'canary'?"),
        ("hosts: [a, 'b c']\n", "1: hosts.1: expected [user@]host[:port], got 'b c'"),
        ("hosts: [a, a]\n", "1: hosts: expected every host and path once, got 'a'"),
        ("hosts: [a]\ncanary: 2\n", "2: canary: expected at most the 1 hosts, got 2"),
        ("hosts: []\n", "1: hosts: expected at least 1 items, got []"),
        ("hosts:\n- {host: a, pth: b}\n", "2: hosts.0.pth: unknown key; did you mean 'path'?"),
    ],
)
def test_a_mistake_in_a_fleet_names_its_line(tmp_path, text, expected):
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_fleet(file)
    assert str(caught.value) == f"{file}:{expected}"

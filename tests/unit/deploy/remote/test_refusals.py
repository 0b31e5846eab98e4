"""Hosts that are not trusted or cannot serve: one line each, with the command that mends it."""

import asyncio
import platform
import shutil

import asyncssh
import pytest
from ssh_server import AsyncsshServer, user_name, write_board_path, write_program

from erpose_edge.deploy.remote.checks import Needs, architectures, check_board
from erpose_edge.deploy.remote.connect import connected
from erpose_edge.deploy.remote.push import push_release
from erpose_edge.deploy.remote.results import PushOptions
from erpose_edge.deploy.remote.session import Board
from erpose_edge.errors import RequestError, TargetError


def refused(pusher, kind=TargetError, bundle=None, **host):
    with pytest.raises(kind) as caught:
        pusher.push(bundle or pusher.bundle(), **host)
    assert not pusher.root.exists(), "something was written before all was checked"
    return str(caught.value)


@pytest.fixture
def fingerprint(pusher):
    return asyncssh.read_public_key(pusher.server.folder / "host_key.pub").get_fingerprint()


def test_without_options_the_files_of_the_home_folder_count(pusher, tmp_path, monkeypatch):
    server, ssh = pusher.server, tmp_path / ".ssh"
    ssh.mkdir()
    shutil.copy(server.folder / "user_key", ssh / "id_ed25519")
    monkeypatch.setenv("HOME", str(tmp_path))
    there = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": user_name(),
        "ssh_config": None,
    }
    line = refused(pusher, **there)
    assert line.endswith(f"`ssh-keyscan -p {server.port} 127.0.0.1 >> {ssh / 'known_hosts'}`")
    shutil.copy(server.folder / "known_hosts", ssh / "known_hosts")
    assert pusher.push(pusher.bundle(), **there).status == "served"
    (ssh / "config").write_text("Host *\n  User nobody-of-this-name\n  Port 1\n")
    assert "expected sshd to answer" in refused_again(pusher, **{**there, "port": None})
    assert "expected to be let in" in refused_again(pusher, **{**there, "user": None})


def refused_again(pusher, **host):
    with pytest.raises(TargetError) as caught:
        pusher.push(pusher.bundle(), **host)
    return str(caught.value)


@pytest.mark.parametrize("extra", [{}, {"StrictHostKeyChecking": "no"}])
def test_an_unknown_host_is_refused_and_never_added(pusher, fingerprint, extra, tmp_path):
    server, known = pusher.server, tmp_path / "known"
    known.write_text("")
    config = server.config_with("unknown", UserKnownHostsFile=known, **extra)
    assert refused(pusher, ssh_config=config) == (
        f"board: expected a host key that is in known_hosts, got an unknown one, {fingerprint}; "
        "compare it with `ssh-keygen -lf` of the board's /etc/ssh/ssh_host_*_key.pub, then run "
        f"`ssh-keyscan -p {server.port} 127.0.0.1 >> {known}`"
    )
    assert known.read_text() == ""


def test_a_changed_host_key_is_refused(pusher, fingerprint):
    server = pusher.server
    known = server.write_known_hosts("changed", server.port, server.folder / "user_key.pub")
    config = server.config_with("changed_config", UserKnownHostsFile=known)
    entry = f"'[127.0.0.1]:{server.port}'"
    assert refused(pusher, ssh_config=config) == (
        f"board: expected the host key of known_hosts, got another one, {fingerprint}: the board "
        "was flashed anew, or somebody answers in its place; if it was flashed, run "
        f"`ssh-keygen -R {entry} -f {known}` and then "
        f"`ssh-keyscan -p {server.port} 127.0.0.1 >> {known}`"
    )


def test_no_configuration_turns_the_check_of_host_keys_off(pusher):
    config = pusher.server.config_with("none", UserKnownHostsFile="none")
    assert refused(pusher, RequestError, ssh_config=config) == (
        "board: expected a UserKnownHostsFile, got none; take this line out of the ssh "
        "configuration, as host keys are always checked"
    )


def test_an_ssh_configuration_with_a_mistake_is_named(pusher, tmp_path):
    config = tmp_path / "config"
    config.write_text("Host *\n  Port many\n")
    line = refused(pusher, RequestError, ssh_config=config)
    assert line.startswith(f"board: expected an ssh configuration, got {config} line 2: ")
    assert line.endswith("; mend that file")


def test_a_stranger_is_told_how_to_be_let_in(pusher, tmp_path):
    key = tmp_path / "stranger"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)
    config = pusher.server.config_with("stranger", IdentityFile=key)
    line = refused(pusher, ssh_config=config)
    assert line.startswith("board: expected to be let in with a key, got Permission denied")
    assert line.endswith(
        f"; try `ssh -F {config} board true`; copy a key there with ssh-copy-id, and give one that "
        "has a passphrase to ssh-add"
    )
    assert pusher.push(
        pusher.bundle(), ssh_config=config, identity=pusher.server.folder / "user_key"
    ).status == ("served")


def test_a_key_that_cannot_be_read_is_named(pusher, tmp_path):
    line = refused(pusher, RequestError, identity=tmp_path / "none")
    assert line.startswith("board: expected keys that can be read, got ")
    assert line.endswith("; check --identity and IdentityFile in ~/.ssh/config")


def test_a_host_that_does_not_answer_is_named(pusher):
    config = pusher.server.config_with("silent", Port=1)
    line = refused(pusher, ssh_config=config)
    assert line.startswith("board: expected sshd to answer, got ")
    assert line.endswith(f"; check name, port and network with `ssh -F {config} board true`")


def test_a_board_of_another_architecture_is_refused(pusher):
    if platform.machine() == "x86_64":
        bundle, needed = pusher.bundle(device_tree=["nvidia,tegra234"]), "aarch64"
    else:
        bundle, needed = pusher.bundle(engine="tensorrt"), "x86_64"
    assert refused(pusher, bundle=bundle) == (
        f"board: expected a board of architecture {needed}, got '{platform.machine()}'; push to "
        "another, or deploy for another target: `erpose-edge targets` lists the others"
    )


def test_a_board_without_the_engine_is_refused(pusher):
    assert refused(pusher, bundle=pusher.bundle(engine="tflite")) == (
        "board: expected the Python module ai_edge_litert, got none; run there: "
        "`python3 -m pip install ai-edge-litert`"
    )


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"engine": "tensorrt", "device_tree": ["nvidia,tegra234"]}, ("aarch64",)),
        ({"engine": "tensorrt", "device_tree": None}, ("x86_64",)),
        ({"engine": "openvino", "device_tree": None}, ("aarch64", "x86_64")),
        ({"engine": "tflite", "device_tree": ["brcm,bcm2712"]}, ("aarch64",)),
    ],
)
def test_a_device_tree_means_a_64_bit_arm_board(profile, expected):
    assert architectures(profile) == expected


@pytest.mark.parametrize(
    ("programs", "modules", "archive_bytes", "expected"),
    [
        (
            {"uname": "echo armv7l"},
            (),
            1,
            "expected a board of architecture aarch64 or x86_64, got 'armv7l'; push to another, or "
            "deploy for another target: install a 64-bit system on the board",
        ),
        (
            {"python3": "exit 127"},
            (),
            1,
            "expected python3 of at least 3.8, got none; run there: `sudo apt install python3`",
        ),
        (
            {"python3": "echo 3 6"},
            (),
            1,
            "expected python3 of at least 3.8, got 3.6; update the system of the board (JetPack 5 "
            "or later), or put such a python3 first in the login's PATH",
        ),
        (
            {},
            ("cv2", "openvino"),
            1,
            "expected python3 to import numpy, got No module named 'numpy'; run there: "
            "`sudo apt install python3-numpy`",
        ),
        (
            {},
            ("numpy", "openvino"),
            1,
            "expected python3 to import cv2, got No module named 'cv2'; run there: "
            "`sudo apt install python3-opencv`",
        ),
        ({}, ("numpy", "cv2", "openvino"), 10**15, "expected 3000000000.0 MB of free disk at "),
        ({}, ("numpy", "cv2", "openvino"), 1, None),
    ],
)
def test_what_a_board_lacks_is_named(tmp_path, programs, modules, archive_bytes, expected):
    path = write_board_path(tmp_path / "other", modules)
    for name, line in programs.items():
        write_program(path / name, line)
    server = AsyncsshServer(tmp_path / "server", path)
    needs = Needs(("aarch64", "x86_64"), "openvino", "0" * 64, archive_bytes)

    async def checked():
        async with connected(server.host(tmp_path / "root")) as connection:
            await check_board(Board(connection, "board", str(tmp_path / "root")), needs)

    try:
        if expected is None:
            asyncio.run(checked())
            return
        with pytest.raises(TargetError) as caught:
            asyncio.run(checked())
        assert str(caught.value).startswith(f"board: {expected}")
    finally:
        server.stop()


def test_only_a_plain_tar_that_is_there_is_sent(pusher):
    host, bundle, folder = pusher.server.host(pusher.root), pusher.bundle(), pusher.folder
    for name, expected in (
        (
            "b.tar.zst",
            "a plain .tar, got 'b.tar.zst'; pack the bundle as .tar, as boards have no zs",
        ),
        ("none.tar", "the archive of a bundle, got No such file or directory; pack it again"),
    ):
        with pytest.raises(RequestError) as caught:
            asyncio.run(push_release(host, folder / name, bundle, PushOptions(), print))
        assert str(caught.value).startswith(f"{folder / name}: expected {expected}")

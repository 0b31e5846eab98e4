"""From bundled weights to a certificate of a board, over real ssh.

The board's Python has numpy, cv2 and OpenVINO, and nothing else.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("asyncssh")
pytest.importorskip("openvino")

from bare_python import bare_python
from ssh_server import SSHD, AsyncsshServer, OpensshServer

from erpose_edge.cli.app import main
from erpose_edge.runtime.bundle import read_bundle
from erpose_edge.schemas import load_schema
from erpose_edge.validate.certificate import require_sealed

pytestmark = pytest.mark.slow
MOST_MB = 10
FEW = ["--count", "6", "--seconds", "0.3"]


class Board:
    """An sshd whose python3 is a bare one, and where the releases go."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "releases-here"
        kind = OpensshServer if SSHD.exists() else AsyncsshServer
        self.server = kind(folder / "server")
        python = bare_python(folder / "python", "openvino")
        program = self.server.programs / "python3"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n')
        (folder / "budget.yaml").write_text("")

    @property
    def options(self) -> list[str]:
        config = ["--ssh-config", str(self.server.config)]
        return ["--host", "board", "--path", str(self.path), *config]

    def deploy(self, *arguments: str) -> int:
        return main(["deploy", "--target", "openvino-cpu", *arguments])

    @property
    def current(self) -> Path:
        return (self.path / "current").resolve()


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    board = Board(tmp_path_factory.mktemp("board"))
    yield board
    board.server.stop()


@pytest.fixture(scope="module")
def pushed(board):
    """The bundled weights on the board: exit code, and folder of the results at home."""
    out = board.folder / "out"
    options = ["--precision", "int8", "--min-retention", "0.5", "--out", str(out)]
    return board.deploy(*FEW, *options, *board.options), out


def certificate_in(out: Path) -> dict:
    (path,) = (out / "certificates").iterdir()
    return require_sealed(json.loads(path.read_text()), str(path))


def test_it_ends_in_a_certificate_and_a_verdict_and_the_release_serves(board, pushed):
    code, out = pushed
    certificate = certificate_in(out)
    # On a machine as loaded as one that runs tests int8 may not be faster than fp32.
    assert code in (0, 4), certificate["verdict"]
    assert certificate["verdict"]["exit_code"] == code
    assert list(certificate["artifacts"]) == ["int8", "fp32"]
    assert certificate["accuracy"]["int8"]["ap"] > 0.05
    assert certificate["machine"]["cpu"]["model"]
    assert certificate["start_to_first_pose_ms"] > 0
    release = next((board.path / "releases").iterdir())
    assert read_bundle(release, in_use=True).name == certificate["bundle"]["name"] == release.name
    assert (board.path / "current").exists() == (code == 0)


def test_the_int8_bundle_is_small_and_has_the_portable_graph(pushed, tmp_path, capsys):
    bundle = str(tmp_path / "pose.tar.zst")
    assert main(["bundle", "create", str(pushed[1] / "int8"), "--out", bundle, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["size_mb"] <= MOST_MB
    assert main(["bundle", "unpack", bundle, "--out", str(tmp_path / "there")]) == 0
    assert (tmp_path / "there" / "onnx" / "model.onnx").stat().st_size > 1e6


def test_a_second_release_serves_and_rollback_brings_the_first_one_back(board, pushed, capfd):
    changed = ["--precision", "int8", "--min-retention", "0.5", "--input-size", "128", "128"]
    out = str(board.folder / "second")
    options = [*FEW, *changed, "--out", out, "--accept-slow", "--no-compare", "--json"]
    first = board.current.name
    assert board.deploy(*options, *board.options) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert set(load_schema("push")["properties"]) <= set(document)
    (host,) = document["hosts"]
    assert host["status"] == "served", err
    assert host["release"] == board.current.name != first
    if pushed[0] == 0:  # the first one served
        assert board.deploy("--rollback", *board.options) == 0
        assert board.current.name == first


def test_what_serves_finds_the_people_of_a_picture(board, pushed, tmp_path):
    """As the README of a bundle says, with the board's Python alone."""
    import cv2

    from erpose_edge.data.generated.scene import render_scene

    picture = tmp_path / "people.png"
    cv2.imwrite(str(picture), render_scene(1, (480, 640))[0])
    done = subprocess.run(
        [board.current / "run", "--source", str(picture), "--json"],
        env={"PATH": f"{board.server.programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["poses"]


def test_a_board_that_cannot_serve_the_target_is_refused_before_any_work(board, capfd):
    assert main(["deploy", "--target", "jetson-orin", *board.options]) == 5
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "expected a board of architecture aarch64" in err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--host", "board;reboot"], "expected [user@]host[:port]"),
        (["--host", "board", "--path", "a b"], "path: expected"),
        (["--host", "a", "--hosts", "fleet.yaml"], "got both"),
        (["--hosts", "no-fleet.yaml"], "no-fleet.yaml"),
        (["--rollback"], "got neither"),
        (["--precision", "int4"], "--precision: expected"),
        (["--dla"], "expected one with DLA"),
        (["--bundle", "bundle.zip"], "bundle.zip"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(board, options, reason, capfd):
    code = board.deploy(*options)
    assert code in (2, 5)
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert reason in err

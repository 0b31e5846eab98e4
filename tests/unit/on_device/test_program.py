"""The commands of a bundle, run as a board runs them: another Python, nothing installed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import cv2
import jsonschema
import pytest
from bare_python import bare_python
from tiny_bundle import SEED, SIZE, tiny_bundle

from erpose_edge.data.generated.scene import render_scene
from erpose_edge.on_device import launcher
from erpose_edge.on_device.program import main
from erpose_edge.runtime import selftest
from erpose_edge.runtime.bundle import read_bundle
from erpose_edge.schemas import load_schema
from erpose_edge.validate.certificate import require_sealed
from erpose_edge.validate.certificate.verify import Reach, require_genuine

ENGINES = {"openvino": "openvino", "tflite": "ai_edge_litert"}


class Board:
    """A bundle and the Python that runs it."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.bundle = tiny_bundle(folder, engine, max_p99_ms=1000)
        self.python = bare_python(folder / "python", engine)
        self.picture = folder / "picture.png"
        cv2.imwrite(str(self.picture), render_scene(SEED, SIZE)[0])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the README of a bundle says, in its folder."""
        return subprocess.run(
            [self.python, "-m", "erpose_runtime", *arguments],
            cwd=self.bundle.folder,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module", params=ENGINES)
def board(request, tmp_path_factory) -> Board:
    pytest.importorskip(ENGINES[request.param])
    return Board(tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize("package", ["erpose_edge", "pydantic", "yaml", "onnx", "torch"])
def test_the_boards_python_has_none_of_what_the_workstation_needs(board, package):
    command = [board.python, "-I", "-c", f"import {package}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr


def test_every_command_gives_one_document_and_leaves_the_bundle_as_it_was(board):
    for name, key in (("verify", "bundle"), ("build", "engines"), ("selftest", "passed")):
        done = board.run(name, "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["bundle"] == board.bundle.name
        assert document[key]
    read_bundle(board.bundle.folder)  # not in use: no byte code, nothing else was left


def test_the_doctor_runs_where_numpy_is_missing_and_says_what_mends_it(board):
    doctor = subprocess.run(
        [board.python, "-S", "-m", "erpose_runtime", "doctor", "--json"],
        cwd=board.bundle.folder,
        capture_output=True,
        text=True,
    )
    assert doctor.returncode == 5, doctor.stderr
    assert "numpy" in doctor.stdout
    assert "apt install" in doctor.stdout
    assert board.run("doctor", "--json").returncode == 0


def test_run_prints_a_line_of_json_for_every_frame(board):
    done = board.run("run", "--json", "--threshold", "0", "--source", str(board.picture))
    assert done.returncode == 0, done.stderr
    (frame,) = map(json.loads, done.stdout.splitlines())
    assert (frame["frame"], frame["width"], frame["height"]) == (0, SIZE[1], SIZE[0])
    expected = json.loads((board.bundle.artifacts[0] / "manifest.json").read_text())["self_test"]
    assert frame["poses"][0]["keypoints"] == expected["poses"][0][0]["keypoints"]
    assert frame["time_ms"] > 0


def test_a_source_that_cannot_be_read_is_named_and_the_others_are_served(board, tmp_path):
    sources = ["--source", str(tmp_path / "no.png"), "--source", str(board.picture)]
    done = board.run("run", *sources, "--out", str(tmp_path / "drawn"))
    assert done.returncode == 2
    assert "no.png: expected" in done.stderr
    assert str(board.picture) in done.stdout
    assert (tmp_path / "drawn" / "picture.jpg").is_file()


def test_the_benchmark_is_a_sealed_certificate_with_a_verdict(board, tmp_path):
    out = tmp_path / "certificate.json"
    options = ["--seconds", "0.2", "--scenes", "2", "--json", "--out", str(out)]
    done = board.run("benchmark", *options)
    assert done.returncode == 0, done.stderr
    certificate = require_sealed(json.loads(done.stdout), "stdout")
    assert certificate == json.loads(out.read_text())
    assert certificate["verdict"]["pass"] is True
    assert certificate["self_test"]["passed"] is True
    assert certificate["bundle"]["name"] == board.bundle.name
    assert certificate["data"]["scenes"] == certificate["accuracy"]["fp32"]["images"] == 2
    assert certificate["latency"]["fp32"]["turns"]["end_to_end_ms"]["p99"] > 0
    assert certificate["placement"]["fp32"]
    require_genuine(out, Reach(bundle=board.bundle.folder))
    checker = jsonschema.Draft202012Validator(load_schema("certificate"))
    assert [error.message for error in checker.iter_errors(certificate)] == []
    assert certificate["start_to_first_pose_ms"] > 0
    assert certificate["machine"]["cpu"]["model"]
    assert certificate["telemetry"]["samples"] > 0


def test_what_people_read_ends_in_the_verdict(board):
    done = board.run("benchmark", "--seconds", "0.1", "--scenes", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "verdict: pass"
    assert "100 %" in done.stderr


def test_a_damaged_file_ends_with_6_before_anything_runs(board, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(board.bundle.folder, copy)
    model = next(path for path in (copy / "artifacts").rglob("model.*"))
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    for name in ("verify", "build", "selftest", "run"):
        more = ["--source", str(board.picture)] if name == "run" else []
        done = board.run(name, "--bundle", str(copy), *more)
        assert done.returncode == 6
        assert len(done.stderr.strip().splitlines()) == 1
        assert model.name in done.stderr


def test_the_scripts_run_the_commands_from_any_folder(board, tmp_path):
    done = subprocess.run(
        [board.bundle.folder / "selftest"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHON": str(board.python)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("self-test passed")


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """A bundle that this process opens, with a budget to be missed."""

    def run(*arguments, **budget):
        bundle = tiny_bundle(tmp_path, **budget)
        return main([arguments[0], "--bundle", str(bundle.folder), *arguments[1:]]), bundle

    pytest.importorskip("openvino")
    return run


def test_a_latency_that_is_missed_ends_with_4_and_names_the_number(ours, capsys):
    code, _ = ours("benchmark", "--seconds", "0.1", "--scenes", "1", max_p99_ms=1e-6)
    assert code == 4
    out = capsys.readouterr().out
    assert "fp32: p99: expected at most 1e-06 ms" in out
    assert out.splitlines()[-1] == "verdict: fail"


def test_a_limit_of_the_command_line_replaces_the_profiles(ours, capsys, tmp_path):
    report = tmp_path / "junit.xml"
    options = ["--seconds", "0.1", "--scenes", "1", "--junit", str(report)]
    assert ours("benchmark", *options, "--max-p99-ms", "1e-6")[0] == 4
    root = ElementTree.parse(report).getroot()
    failed = [
        case.get("name") for case in root.iter("testcase") if case.find("failure") is not None
    ]
    assert failed == ["max_p99_ms 1e-06"]
    assert ours("benchmark", *options, "--max-p99-ms", "-1")[0] == 2
    assert "--max-p99-ms: expected a number above 0, got -1.0" in capsys.readouterr().err


def test_a_clip_is_measured_where_one_is_asked_for(ours, tmp_path):
    out = tmp_path / "c.json"
    options = ["--seconds", "0.1", "--scenes", "1", "--out", str(out), "--clip-frames", "4"]
    assert ours("benchmark", *options, "--max-jitter", "1e-9")[0] == 3
    document = require_genuine(out)
    assert document["stability"]["fp32"]["clip"]["frames"] == 4
    assert "jitter: expected at most 1e-09 %" in document["verdict"]["reasons"][0]


def test_an_accuracy_that_is_missed_ends_with_3(ours, capsys):
    code, _ = ours("benchmark", "--seconds", "0.1", "--scenes", "1", min_retention=0.9)
    assert code == 3  # the network finds squares, and nobody in these scenes
    assert "fp32: retention: expected an fp32 AP above 0" in capsys.readouterr().out


def test_poses_that_are_not_found_end_with_3_and_nothing_is_served(ours, capsys, monkeypatch):
    monkeypatch.setattr(selftest, "TOLERANCE", -1.0)  # nothing is that near
    code, bundle = ours("selftest")
    assert code == 3
    picture = bundle.folder.parent / "picture.png"
    cv2.imwrite(str(picture), render_scene(SEED, SIZE)[0])
    assert main(["run", "--bundle", str(bundle.folder), "--source", str(picture)]) == 3
    out, err = capsys.readouterr()
    assert str(picture) not in out
    assert "nothing is served" in err


def test_a_mistake_in_the_request_is_one_line(ours, capsys):
    assert ours("benchmark", "--scenes", "0")[0] == 2
    assert "scenes: expected at least 1, got 0" in capsys.readouterr().err


def test_an_older_python_is_told_what_it_needs(tmp_path):
    """The launcher itself has to be readable by it."""
    source = Path(launcher.__file__).read_text()
    ast.parse(source, feature_version=(3, 6))
    assert "expected 3.8 or newer" in source

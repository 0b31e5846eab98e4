from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_pose import write_tiny_artifact

from erpose_edge.cli.app import main
from erpose_edge.exporters.runtime_archive import ARCHIVE_NAME, runtime_archive
from erpose_edge.schemas import load_schema
from erpose_edge.validate.latency import STAGES
from erpose_edge.validate.latency.document import recompute
from erpose_edge.validate.latency.scenario import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "benchmark_device.py"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An artifact with the runtime in it, as exports write it."""
    more = {ARCHIVE_NAME: runtime_archive()}
    return write_tiny_artifact(tmp_path / "exported", "compact", "openvino", more)


def _check(document: dict) -> None:
    for stage in STAGES:
        times = document[f"{stage}_ms"]
        assert 0 < times["p50"] <= times["p90"] <= times["p99"]
    assert document["fps"] > 0
    assert isinstance(document["unstable"], bool)
    assert isinstance(document["coefficient_of_variation"], float)
    assert {"model", "flags", "threads", "load"} <= set(document["cpu"])
    assert document["target"] == "tiny-test"
    assert document["engine"].startswith("OpenVINO")


def test_json_is_the_only_thing_on_stdout(tiny_artifact, capsys):
    assert main(["bench", str(tiny_artifact), "--seconds", "0.2", "--threads", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    _check(document)
    assert document["cpu"]["threads"] == 1
    assert document["frame_size"] == [480, 640]


def test_the_table_has_a_row_for_every_stage(tiny_artifact, capsys):
    assert main(["bench", str(tiny_artifact), "--seconds", "0.2"]) == 0
    out = capsys.readouterr().out
    for word in ("preprocess", "infer", "decode", "end to end", "frames/s", "instruction sets"):
        assert word in out


def test_a_picture_of_ones_own_is_measured_with(tiny_artifact, tmp_path, capsys):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))
    assert (
        main(["bench", str(tiny_artifact), "--seconds", "0.2", "--image", str(path), "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["frame_size"] == [30, 40]
    assert main(["bench", str(tiny_artifact), "--image", str(tmp_path / "none.png")]) == 2
    assert "expected a picture, got no such file" in capsys.readouterr().err


def _bench(artifact: Path, *arguments: str) -> int:
    return main(["bench", str(artifact), "--threads", "1", *arguments])


@pytest.mark.slow
def test_every_scenario_in_one_go_keeps_to_the_schema(tiny_artifact, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    asked = [word for name in SCENARIOS for word in ("--scenario", name)]
    assert _bench(tiny_artifact, *asked, "--fps", "100", "--seconds", "0.2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    _check(document)
    jsonschema.Draft202012Validator(load_schema("bench")).validate(document)
    assert list(document["scenarios"]) == list(SCENARIOS)
    for name, found in document["scenarios"].items():
        assert found["scenario"] == name
        assert recompute(found) == found
        assert found["statistics"]["cold_start"]["load_ms"] > 0
        assert found["frames"]["description"].startswith("16 scenes of generated people, seed 0")
        assert found["threads"] == 1
    assert document["scenarios"]["camera"]["statistics"]["camera"]["arrived"] >= 20
    assert document["unstable"] == any(f["unstable"] for f in document["scenarios"].values())


def test_a_camera_tells_age_and_drops_for_people(tiny_artifact, tmp_path, capsys):
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.zeros((30, 40, 3), np.uint8))
    camera = ("--scenario", "camera", "--fps", "200", "--image", str(tmp_path))
    assert _bench(tiny_artifact, *camera, "--seconds", "0.2") == 0
    out = capsys.readouterr().out
    for words in (
        *("camera: tiny-test fp32, OpenVINO", "picture", "end to end", "wait", "age"),
        *("p99 of age: ", "camera of 200 frames/s: ", "dropped", "memory peak", "first pose"),
        *("2 of 2 pictures of the user", "it is nearly the longest"),
    ):
        assert words in out


def test_why_a_run_is_unstable_is_warned_of(tiny_artifact, capsys, monkeypatch):
    from erpose_edge.validate.latency import document as documents

    monkeypatch.setattr(documents, "background_reasons", lambda found: ["background load: much"])
    assert _bench(tiny_artifact, "--scenario", "offline", "--seconds", "0.1") == 0
    assert "warning: unstable: offline: background load: much" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "camera"], "fps: expected the camera's frames a second, got none; add"),
        (["--fps", "30"], "fps: expected --scenario camera beside it, got none; add it"),
        (["--scenario", "offline", "--fps", "30"], "fps: expected none in the scenario offline"),
        (["--scenario", "server"], "scenario: expected single-stream, multi-stream, offline or"),
        (["--quick", "--mlperf"], "length: expected one, got --quick and --mlperf; leave one out"),
        (["--standard", "--seconds", "3"], "length: expected one, got --standard and --seconds"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, message, tiny_artifact, capsys):
    assert _bench(tiny_artifact, *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("length", "seconds"), [("--quick", 10.0), ("--standard", 60.0), ("--mlperf", 600.0)]
)
def test_lengths_have_names(length, seconds, tiny_artifact, capsys, monkeypatch):
    from erpose_edge.errors import RequestError
    from erpose_edge.validate.latency import measure

    def stop(estimator, frames, request, *more, **named):
        raise RequestError(f"asked for {request.seconds} s of {request.scenario}")

    monkeypatch.setattr(measure, "measure", stop)
    assert _bench(tiny_artifact, "--scenario", "offline", length) == 2
    assert f"asked for {seconds} s of offline" in capsys.readouterr().err


def test_an_artifact_that_is_missing_or_damaged_is_refused(tiny_artifact, tmp_path, capsys):
    assert main(["bench", str(tmp_path / "none")]) == 2
    (tiny_artifact / "more.txt").write_text("")
    assert main(["bench", str(tiny_artifact)]) == 6
    assert "more.txt: expected only files that the manifest lists" in capsys.readouterr().err


def _script(*arguments: object, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_device_script_measures_what_bench_measures(tiny_artifact):
    run = _script(tiny_artifact, "--seconds", "0.2", "--json")
    assert run.returncode == 0, run.stderr
    _check(json.loads(run.stdout))
    table = _script(tiny_artifact, "--seconds", "0.2")
    assert "end to end" in table.stdout


@pytest.mark.slow
def test_the_device_script_measures_scenarios_too(exported, tmp_path):
    board = tmp_path / "board"
    board.mkdir()
    script = board / "bench.py"
    script.write_bytes(SCRIPT.read_bytes())
    camera = ("--scenario", "camera", "--fps", "100", "--seconds", "0.1")
    run = _script(exported, *camera, script=script)
    assert run.returncode == 0, run.stderr
    for words in ("camera: fp32, OpenVINO", "age ", "frames dropped", "8 patterns of 640x480"):
        assert words in run.stdout
    run = _script(exported, *camera, "--json", script=script)
    document = json.loads(run.stdout)
    _check(document)
    assert recompute(document["scenarios"]["camera"]) == document["scenarios"]["camera"]
    run = _script(exported, *camera[:2], script=script)
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert "add --fps 30" in run.stderr


def test_the_device_script_needs_no_package_of_the_command_line(tiny_artifact):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['b', {str(tiny_artifact)!r}, '--seconds', '0.1', '--json']\n"
        f"try:\n    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n    code = end.code\n"
        "heavy = {'torch', 'pydantic', 'typer', 'rich', 'yaml', 'onnx', 'safetensors'}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stderr.splitlines()[-1] == "0 []"


def test_the_device_script_needs_nothing_but_itself_and_the_artifact(exported, tmp_path):
    board = tmp_path / "board"
    board.mkdir()
    (board / "bench.py").write_bytes(SCRIPT.read_bytes())
    code = (
        f"import runpy, sys\nsys.argv = ['b', {str(exported)!r}, '--seconds', '0.1', '--json']\n"
        f"try:\n    runpy.run_path({str(board / 'bench.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n    code = end.code\n"
        "places = {m.__file__ for n, m in sys.modules.items() if n.startswith('erpose_edge.')}\n"
        "print(code, all('runtime.zip' in str(p) for p in places), file=sys.stderr)\n"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stderr.splitlines()[-1] == "0 True"
    _check(json.loads(run.stdout))


def test_the_device_script_runs_no_code_that_the_manifest_does_not_know(exported):
    archive = exported / "runtime.zip"
    archive.write_bytes(archive.read_bytes() + b" ")
    run = _script(exported)
    assert run.returncode == 6
    assert run.stderr.startswith(f"error: {archive}: expected sha256")
    assert run.stderr.count("\n") == 1


def test_the_runtime_archive_has_the_same_bytes_every_time():
    assert runtime_archive() == runtime_archive()


def test_the_device_script_tells_mistakes_in_one_line(tiny_artifact, tmp_path):
    run = _script(tmp_path / "none")
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    (tiny_artifact / "model.onnx").write_bytes(b"")
    run = _script(tiny_artifact)
    assert run.returncode == 6
    assert run.stderr.startswith(f"error: {tiny_artifact / 'model.onnx'}: expected sha256")

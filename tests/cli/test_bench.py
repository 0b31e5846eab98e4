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
from erpose_edge.validate.latency import STAGES

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

"""The table of engines: real exports of a network in which nothing but the numbers is small."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from engines import engine
from quantized_network import float_network

from erpose_edge.config import load_config
from erpose_edge.network.checkpoint import Weights, load_weights, save_weights
from erpose_edge.quantization.qat import Quantization
from erpose_edge.runtime.poses import Poses

ROOT = Path(__file__).parents[2]
SETTINGS = ["network.input_size=[64, 64]"]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("engine_table")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Float and quantized weights files."""
    folder = tmp_path_factory.mktemp("weights")
    config = load_config("tiny", SETTINGS)
    paths = folder / "float.safetensors", folder / "qat.safetensors"
    document = config.model_dump(mode="json")
    save_weights(paths[0], Weights(float_network().state_dict(), "float", document))
    quantization = Quantization(load_weights(paths[0]), config)
    quantization.calibrate()
    save_weights(paths[1], quantization.weights())
    return [str(path) for path in paths]


@pytest.mark.slow
def test_every_row_is_exported_measured_and_timed_and_resume_does_it_once(
    script, weights, tmp_path, capsys
):
    engine("openvino")
    engine("baselines")
    document = tmp_path / "document.md"
    document.write_text("<!-- engine-table:begin -->\n<!-- engine-table:end -->\n")
    options = ["--float", weights[0], "--qat", weights[1], "--engines", "openvino", "--count", "2"]
    options += ["--variants", "fp32,ptq-minmax,nncf,qat", "--threads", "1", "--seconds", "0.05"]
    options += ["--out", str(tmp_path / "table.json"), "--markdown", str(document)]
    script.main(options)
    out, err = capsys.readouterr()
    assert "openvino ptq-minmax, generated: 2/2" in err
    found = json.loads((tmp_path / "table.json").read_text())
    rows = {row["variant"]: row for row in found["rows"]}
    assert list(rows) == ["fp32", "ptq-minmax", "nncf", "qat"]
    assert all(row["refused"] is None and row["p50_ms"] > 0 for row in rows.values())
    for variant in ("ptq-minmax", "nncf", "qat"):
        assert rows["fp32"]["model_mb"] > 2 * rows[variant]["model_mb"]
    assert rows["fp32"]["speed"] == 1
    assert rows["qat"]["islands"] == 0
    assert {row["tests"]["generated"]["people"] for row in rows.values()} == {
        rows["fp32"]["tests"]["generated"]["people"]
    }
    text = document.read_text()
    assert text.count("\n| OpenVINO | ") == 4
    assert "\n| TensorRT | not run here | " in text
    assert "2 generated scenes; input 64 x 64; calibrated on generated-8" in text
    assert text.split("-->\n")[1].startswith(out.splitlines()[0])
    # Nothing is left to do but timing and the table.
    script.main([*options, "--resume"])
    assert "2/2" not in capsys.readouterr().err
    with pytest.raises(SystemExit, match="expected rows of the same run, got others"):
        script.main([*options, "--resume", "--count", "3"])


def row(variant, **changes):
    found = {"ap": 0.5, "people": 9, "rejected": 0, "retention": [0.985, 0.971, 1.002]}
    return {
        "engine": "tflite", "variant": variant, "refused": None, "tests": {"photographs": found},
        "model_mb": 3.014, "islands": 2, "p50_ms": 12.34, "speed": 1.5, **changes,
    }  # fmt: skip


RUN = {"tests": [["photographs", 139]], "input_size": [320, 320], "calibration": "generated-256"}
FACTS = {"engines": ["LiteRT 2.3"], "threads": 2, "cpu": "Some CPU", "flags": ["avx2"],
         "unstable": True}  # fmt: skip


def test_the_table_shows_what_was_measured(script):
    refused = row("qat", refused="tflite: expected int8, got float; export fp32", tests={})
    lines = script.table_lines([row("ptq-mse"), refused], ["photographs"], RUN, FACTS)
    assert lines[2:5] == [
        "| TFLite | PTQ, MSE | 0.500 | 98.5% [97.1%, 100.2%] | 12.3 | 1.50 | 3.01 | 2 |",
        "| TFLite | QAT | - | - | - | - | - | refused |",
        "| TensorRT | not run here |  |  |  |  |  |  |",
    ]
    text = "\n".join(lines)
    assert "139 photographs; input 320 x 320; calibrated on generated-256" in text
    assert "LiteRT 2.3, threads: 2, Some CPU (avx2)" in text
    assert "The machine was busy" in text
    assert lines[-1] == "- TFLite, QAT: tflite: expected int8, got float; export fp32"


def test_poses_come_back_as_they_were(script, rng, tmp_path):
    counts = {7: 2, 3: 0, 9: 1}
    poses = {
        image: Poses(
            rng.random(n, np.float32), rng.random((n, 17, 2), np.float32), np.ones((n, 17), "f4")
        )
        for image, n in counts.items()
    }
    script.save_poses(tmp_path / "poses.npz", poses)
    found = script.load_poses(tmp_path / "poses.npz")
    assert list(found) == list(poses)
    for image, expected in poses.items():
        for field in dataclasses.fields(expected):
            ours, theirs = getattr(found[image], field.name), getattr(expected, field.name)
            assert np.array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype


def test_an_engine_that_nobody_knows_is_a_mistake(script, capsys):
    with pytest.raises(SystemExit):
        script.main(["--out", "x.json", "--engines", "openvino,coreml"])
    assert "expected some of openvino, onnxruntime, tflite, got coreml" in capsys.readouterr().err

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_pose import tiny_model

from erpose_edge.cli.app import main
from erpose_edge.schemas import load_schema

onnx = pytest.importorskip("onnx")
jsonschema = pytest.importorskip("jsonschema")

CONV = "keypoints_32"


@pytest.fixture
def clean(tmp_path):
    path = tmp_path / "clean.onnx"
    onnx.save(tiny_model("raw"), path)
    return path


@pytest.fixture
def coarse(tmp_path):
    """A graph whose keypoints of stride 32 have steps of 0.1 * 64 pixels."""
    path = tmp_path / "coarse.onnx"
    onnx.save(_with_rounded(tiny_model("raw"), CONV, 0.1), path)
    return path


def _with_rounded(model, name, scale):
    from onnx import helper, numpy_helper

    producer = next(node for node in model.graph.node if name in node.output)
    producer.name = f"{name}_conv"
    producer.output[0] = f"{name}_bare"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(scale), "scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), "zero"))
    grid = ["scale", "zero"]
    model.graph.node.extend([
        helper.make_node("QuantizeLinear", [f"{name}_bare", *grid], [f"{name}_q"], f"{name}_q"),
        helper.make_node("DequantizeLinear", [f"{name}_q", *grid], [name], f"{name}_dq"),
    ])  # fmt: skip
    return model


def test_a_clean_graph_passes(clean, capsys):
    assert main(["lint", str(clean), "--strict"]) == 0
    out = capsys.readouterr().out
    assert "errors: 0, warnings: 0, notes: 1" in out
    assert "0 of 9 convolutions in int8" in out


def test_an_error_is_shown_with_its_node_and_gives_exit_code_5(coarse, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["lint", str(coarse)]) == 5
    out = capsys.readouterr().out
    assert "coarse-step" in out
    assert "errors: 1" in out


def test_json_keeps_to_the_schema(coarse, capsys):
    assert main(["lint", str(coarse), "--engine", "openvino", "--json"]) == 5
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(load_schema("lint")).validate(document)
    assert document["engine"] == "openvino"
    assert document["model"] == str(coarse)
    (finding,) = [f for f in document["findings"] if f["rule"] == "coarse-step"]
    assert finding["node"] == f"{CONV}_conv"
    assert finding["what"].startswith("one step is 6.4 input px in output keypoints_32")


def test_the_tolerance_is_an_option(coarse):
    assert main(["lint", str(coarse), "--tolerance-px", "6.5"]) == 0


def test_what_an_output_carries_can_be_declared(coarse, capsys):
    assert main(["lint", str(coarse), "--output", "keypoints_32=px:0.2"]) == 0
    capsys.readouterr()
    assert main(["lint", str(coarse), "--output", "keypoints_32=px*3:0.2", "--json"]) == 5
    (finding,) = (
        f for f in json.loads(capsys.readouterr().out)["findings"] if f["severity"] == "error"
    )
    assert "one step is 0.3 input px" in finding["what"]
    assert "tolerance 0.2" in finding["what"]


def test_strict_fails_on_warnings(tmp_path):
    path = tmp_path / "scores.onnx"
    onnx.save(_with_rounded(tiny_model("raw"), "scores_8", 0.1), path)
    assert main(["lint", str(path)]) == 0
    assert main(["lint", str(path), "--strict"]) == 5


BAD = {
    "no such file": (["gone.onnx"], "gone.onnx: expected an ONNX file, got none; check the path"),
    "not ONNX": (["text.onnx"], "expected an ONNX file, got something else; pass the .onnx"),
    "an empty file": (["empty.onnx"], "expected an ONNX file with nodes, got none"),
    "unknown engine": (
        ["clean.onnx", "--engine", "ncnn"],
        "--engine: expected tensorrt or openvino or onnxruntime or tflite, got 'ncnn'",
    ),
    "unknown output": (
        ["clean.onnx", "--output", "poses=px"],
        "got poses; check its name",
    ),
    "unit that there is not": (
        ["clean.onnx", "--output", "scores_8=mm:0.5"],
        "--output: expected NAME=UNIT[*FACTOR][:TOLERANCE] with px, score or logit, got "
        "'scores_8=mm:0.5'; write for example output0=px:0.5",
    ),
    "number that is none": (["clean.onnx", "--output", "scores_8=px:0.5.1"], "got 'scores_8=px"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_one_line_and_exit_code_2(case, clean, monkeypatch, capsys):
    monkeypatch.chdir(clean.parent)
    (clean.parent / "text.onnx").write_text("no graph at all, only words\n" * 9)
    (clean.parent / "empty.onnx").touch()
    arguments, expected = BAD[case]
    assert main(["lint", *arguments]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("tensorrt_rtx")

from small_qdq import node_named, set_constant, small_network  # noqa: E402
from tiny_pose import write_tiny_artifact  # noqa: E402

from erpose_edge.cli.app import main  # noqa: E402
from erpose_edge.exporters.tensorrt.graphs import flagged  # noqa: E402

pytestmark = pytest.mark.slow


def test_a_sound_graph_passes_and_says_what_that_proves(tmp_path, capsys):
    path = tmp_path / "model.onnx"
    onnx.save(flagged(small_network()), path)
    assert main(["trt-check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}: pass; tensorrt-rtx 1.")
    assert [line.partition(":")[0] for line in lines[1:]] == ["proves"] * 2 + ["does not prove"] * 2


def test_a_broken_graph_ends_with_5_and_names_the_node(tmp_path, capsys):
    model = small_network()
    set_constant(model, "three", 3, np.int8)
    node_named(model, "node_sum_q").input[2] = "three"
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    assert main(["trt-check", str(path)]) == 5
    out = capsys.readouterr().out
    assert out.startswith(f"{path}: fail; tensorrt-rtx 1.")
    assert "not parsed" in out
    assert "not in the dialect: node_sum_q: expected zero point 0, got 3" in out
    assert "error: node_sum_q (QuantizeLinear): " in out
    assert "\nproves:" not in out


def test_the_graph_of_an_artifact_is_checked(tmp_path, capsys):
    folder = write_tiny_artifact(tmp_path / "artifact", "compact", "tensorrt")
    assert main(["trt-check", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"]
    (check,) = document["files"]
    assert check["file"] == str(folder / "model.onnx")
    assert (check["parsed"], check["built"], check["violations"]) == (True, True, [])


def test_a_missing_file_ends_with_2(tmp_path, capsys):
    assert main(["trt-check", str(tmp_path / "none.onnx")]) == 2
    assert (
        "expected an ONNX file or an artifact's folder, got no such file" in capsys.readouterr().err
    )

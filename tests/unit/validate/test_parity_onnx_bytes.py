"""The ONNX reader without onnx reads what onnx wrote."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_pose import INPUT_SIZE, tiny_model

from erpose_edge.validate.parity.onnx_bytes import read_nodes, with_outputs

onnx = pytest.importorskip("onnx")


def model():
    built = tiny_model("compact")
    tensor = onnx.numpy_helper.from_array(np.float32(0.125), "scale")
    built.graph.initializer.append(tensor)
    built.graph.initializer.append(onnx.helper.make_tensor("other", 1, [1], [0.5]))
    built.graph.node[0].name = "first"
    return built


def test_nodes_and_numbers_are_those_of_onnx():
    built = model()
    nodes, numbers = read_nodes(built.SerializeToString())
    assert [(n.name, n.kind, n.inputs, n.outputs) for n in nodes] == [
        (n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in built.graph.node
    ]
    assert numbers["scale"] == 0.125
    assert numbers["other"] == 0.5


def test_added_outputs_are_given_by_the_engine():
    ort = pytest.importorskip("onnxruntime")
    content = model().SerializeToString()
    added = with_outputs(content, ["pool_8", "pool_16"])
    names = [output.name for output in onnx.load_from_string(added).graph.output]
    assert names == ["scores", "keypoints", "visibility", "pool_8", "pool_16"]
    session = ort.InferenceSession(added)
    images = np.random.default_rng(0).random((1, 3, *INPUT_SIZE), np.float32)
    (found,) = session.run(["pool_8"], {"images": images})
    expected = images.reshape(1, 3, INPUT_SIZE[0] // 8, 8, INPUT_SIZE[1] // 8, 8).mean((3, 5))
    assert np.abs(found - expected).max() < 1e-6


@given(st.binary(max_size=200))
def test_other_bytes_are_a_value_error_or_nothing(content):
    with contextlib.suppress(ValueError):
        read_nodes(content)


def test_a_file_cut_short_is_a_value_error():
    content = model().SerializeToString()
    with pytest.raises(ValueError, match=r"a number cut short|a field longer than the file"):
        read_nodes(content[:-5])

"""Real parses and ahead-of-time builds with TensorRT-RTX, which needs no GPU."""

import os
import signal
import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("tensorrt_rtx")

from small_qdq import float_network, node_named, set_constant, small_network  # noqa: E402

from erpose_edge.errors import ExportError, MissingExtraError, RequestError  # noqa: E402
from erpose_edge.exporters.tensorrt import check as tensorrt_check  # noqa: E402
from erpose_edge.exporters.tensorrt.check import DOES_NOT_PROVE, PROVES, check_graphs  # noqa: E402
from erpose_edge.exporters.tensorrt.graphs import flagged, typed  # noqa: E402

pytestmark = pytest.mark.slow


def checked(model, folder):
    path = folder / "model.onnx"
    onnx.save(model, path)
    (check,) = check_graphs(path).files
    return check


SPELLINGS = {
    "fp32": lambda: flagged(float_network()),
    "fp16 typed": lambda: typed(float_network()),
    "int8 flagged": lambda: flagged(small_network()),
    "int8 typed": lambda: typed(small_network()),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_parsed_and_built_without_a_word(spelling, tmp_path):
    check = checked(SPELLINGS[spelling](), tmp_path)
    assert check.passed
    assert check.errors == check.warnings == check.violations == ()
    assert check.layers > 10
    assert check.engine_mb > 0


def test_uint8_is_only_warned_of_by_tensorrt_and_refused_by_us(tmp_path):
    model = small_network()
    set_constant(model, "byte", 0, np.uint8)
    for name in ("node_a_act_q", "node_a_act_dq"):
        node_named(model, name).input[2] = "byte"
    check = checked(model, tmp_path)
    assert check.parsed
    assert check.built
    assert any("UINT8" in text and "INT8 instead" in text for text in check.warnings)
    assert [finding.node for finding in check.violations] == ["node_a_act_q", "node_a_act_dq"]
    assert not check.passed


def test_another_zero_point_is_refused_by_both_with_the_node(tmp_path):
    model = small_network()
    set_constant(model, "three", 3, np.int8)
    for name in ("node_sum_q", "node_sum_dq"):
        node_named(model, name).input[2] = "three"
    check = checked(model, tmp_path)
    assert not check.parsed
    assert not check.built
    assert check.layers is None
    assert check.errors[0].startswith("node_sum_q (QuantizeLinear): ")
    assert "zero point" in check.errors[0].lower()
    assert str(check.violations[0]) == "node_sum_q: expected zero point 0, got 3"


def test_an_unknown_operation_is_named(tmp_path):
    model = small_network()
    node = node_named(model, "node_all_scores")
    node.domain, node.op_type = "mine", "Secret"
    model.opset_import.append(onnx.helper.make_opsetid("mine", 1))
    check = checked(model, tmp_path)
    assert not check.parsed
    assert "node_all_scores (Secret): " in check.errors[0]


def test_the_report_says_what_a_pass_proves_and_what_not(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(flagged(float_network()), path)
    document = check_graphs(path).to_json()
    assert document["tool"].startswith("tensorrt-rtx 1.")
    assert document["proves"] == list(PROVES)
    assert document["does_not_prove"] == list(DOES_NOT_PROVE)
    assert "Orin (8.7)" in document["does_not_prove"][0]


def replaced_by(monkeypatch, tmp_path, code):
    (tmp_path / "fake_build.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(tensorrt_check, "_BUILD", "fake_build")


def test_a_crash_of_the_library_is_one_line(tmp_path, monkeypatch):
    signal_name = signal.Signals(signal.SIGSEGV).name
    replaced_by(monkeypatch, tmp_path, f"import os\nos.kill(os.getpid(), {int(signal.SIGSEGV)})\n")
    with pytest.raises(ExportError) as caught:
        checked(float_network(), tmp_path)
    assert str(caught.value) == (
        f"trt-check {tmp_path / 'model.onnx'}: expected tensorrt-rtx to parse and build the graph, "
        f"got the end of its process by {signal_name}; reinstall 'erpose-edge[trt-check]' or "
        "report the graph to NVIDIA"
    )


def test_an_error_of_the_library_itself_is_repeated(tmp_path, monkeypatch):
    replaced_by(monkeypatch, tmp_path, "import sys\nsys.exit('no libcuda')\n")
    with pytest.raises(ExportError, match=r"got no libcuda; "):
        checked(float_network(), tmp_path)


def test_a_file_that_is_no_graph_is_a_mistake_of_the_request(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff not a graph")
    with pytest.raises(RequestError, match=r"expected an ONNX file, got something else"):
        check_graphs(path)


def test_a_missing_file_is_a_mistake_of_the_request(tmp_path):
    with pytest.raises(
        RequestError, match=r"expected an ONNX file or an artifact's folder, got no"
    ):
        check_graphs(tmp_path / "none.onnx")


def test_the_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    onnx.save(float_network(), tmp_path / "model.onnx")
    with pytest.raises(MissingExtraError) as caught:
        check_graphs(tmp_path / "model.onnx")
    assert str(caught.value) == (
        "trt-check: expected the package tensorrt_rtx, got none; "
        "run `pip install 'erpose-edge[trt-check]'`"
    )
    assert os.sep not in str(caught.value)

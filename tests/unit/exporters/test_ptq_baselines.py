"""The engines' own tools quantize the float file with our images, and nothing else changes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from engines import engine
from tiny_pose import INPUT_SIZE, tiny_model

from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.exporters import ptq_baselines
from erpose_edge.exporters.islands import openvino_islands, tflite_islands
from erpose_edge.exporters.openvino import convert, convolution_precisions
from erpose_edge.exporters.ptq_baselines import quantize_with_litert, quantize_with_nncf


@pytest.fixture
def images(rng):
    return [rng.random((1, 3, *INPUT_SIZE), np.float32) for _ in range(3)]


@pytest.fixture
def float_ir():
    engine("openvino")
    return convert(tiny_model("raw"), half=False)


def in_openvino(files, image):
    import openvino as ov

    core = ov.Core()
    model = core.read_model(files["model.xml"], files["model.bin"])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(image)
    return {min(port.get_names()): found[port].copy() for port in compiled.outputs}


@pytest.mark.slow
def test_nncf_gives_an_ir_with_the_same_outputs_but_rounded(float_ir, images, capfd):
    engine("baselines")
    quantized = quantize_with_nncf(float_ir, images)
    assert capfd.readouterr().out == ""
    assert quantized.keys() == float_ir.keys()
    assert b"FakeQuantize" in quantized["model.xml"]
    exact, rounded = (in_openvino(files, images[0]) for files in (float_ir, quantized))
    assert exact.keys() == rounded.keys()
    for name, values in exact.items():
        # Two steps of the input, 1/127 each, times the weights of the scores, 20 together.
        assert np.abs(rounded[name] - values).max() < 2 * 20 / 127
    assert any((rounded[name] != exact[name]).any() for name in exact)
    assert openvino_islands(quantized) == 0


@pytest.mark.slow
def test_nncf_leaves_float_what_has_to_stay_float(float_ir, images):
    engine("baselines")
    quantized = quantize_with_nncf(float_ir, images, keeps_float=lambda name: True)
    assert set(convolution_precisions(quantized).values()) == {"f32"}


def float_tflite():
    """Return a file of two convolutions with NHWC input and float input and output."""
    import litert_torch
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = torch.nn.Sequential(
                torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1)
            )

        def forward(self, images):
            return self.convs(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network().eval()
    edge = litert_torch.convert(network, sample_kwargs={"images": torch.zeros(1, *INPUT_SIZE, 3)})
    return bytes(edge.model_content())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # litert-torch's own
def test_litert_quantizer_gives_int8_inside_and_float_at_both_ends(images):
    engine("tflite")
    engine("baselines")
    from ai_edge_litert.interpreter import Interpreter

    content = float_tflite()
    quantized = quantize_with_litert(content, images)
    found = []
    for model in (content, quantized):
        runner = Interpreter(model_content=model).get_signature_runner()
        details = [*runner.get_input_details().values(), *runner.get_output_details().values()]
        assert {tensor["dtype"] for tensor in details} == {np.float32}
        (output,) = runner(images=images[0].transpose(0, 2, 3, 1)).values()
        found.append(output)
    spread = found[0].max() - found[0].min()
    assert 0 < np.abs(found[1] - found[0]).max() < 0.05 * spread
    assert tflite_islands(quantized) == 0


@pytest.mark.parametrize("package", ["nncf", "litert_quantizer"])
def test_without_its_package_a_tool_says_what_to_install(package, images, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    call = quantize_with_nncf if package == "nncf" else quantize_with_litert
    with pytest.raises(
        MissingExtraError,
        match=rf"baselines: expected the package {package}.*, got none; "
        r"run `pip install 'erpose-edge\[baselines\]'`",
    ):
        call({} if package == "nncf" else b"", images)


def test_what_a_tool_refuses_is_one_line():
    error = ptq_baselines._refused("nncf", RuntimeError("first\n\n  the reason \n"))
    assert isinstance(error, ExportError)
    assert str(error) == "nncf: expected to quantize the float model, got: the reason"

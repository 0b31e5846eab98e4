import pytest
from quantized_network import float_network, quantized_network

from erpose_edge.config import load_config
from erpose_edge.errors import ExportError, RequestError, TargetError, WeightsError
from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
from erpose_edge.network.checkpoint import Weights
from erpose_edge.quantization.checkpoint import quantized_weights
from erpose_edge.quantization.recipe import load_policy


@pytest.fixture(scope="module")
def weights():
    config = load_config("tiny").model_dump(mode="json")
    return Weights(float_network().state_dict(), "float", config)


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (ExportRequest("t", "coreml", "fp32"), TargetError, "engine: expected openvino or"),
        (ExportRequest("t", "onnxruntime", "fp16"), RequestError, "precision: expected fp32 or"),
        (ExportRequest("t", "openvino", "int4"), RequestError, "fp16 or int8, got 'int4'"),
        (ExportRequest("t", "openvino", "fp32", "boxes"), RequestError, "contract: expected raw"),
        (ExportRequest("t", "openvino", "int8"), WeightsError, "kind: expected qat, got float"),
    ],
)
def test_what_cannot_be_exported_is_said_before_anything_is_written(
    weights, request_, error, message, tmp_path
):
    with pytest.raises(error, match=message):
        export_artifact(weights, request_, tmp_path / "artifact")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_int8_artifact_whose_engine_would_compute_in_float_is_not_written(tmp_path):
    pytest.importorskip("onnxruntime")
    config = load_config("tiny", ["network.activation=silu"]).model_dump(mode="json")
    network = quantized_network(float_network("silu"))
    weights = quantized_weights(network, config, load_policy("default"), {})
    request = ExportRequest("t", "onnxruntime", "int8", "raw", (64, 64))
    with pytest.raises(ExportError, match=r"onnxruntime: .*: expected int8 execution"):
        export_artifact(weights, request, tmp_path / "artifact")
    assert not list(tmp_path.iterdir())

import pytest
import torch
from quantized_network import float_network, smooth_images

from erpose_edge.config import load_config
from erpose_edge.errors import RequestError, WeightsError
from erpose_edge.network.checkpoint import Weights
from erpose_edge.quantization.checkpoint import deployed_network
from erpose_edge.quantization.fake_quantize import activation_quantizers
from erpose_edge.quantization.qat import Quantization, TrainingGraph
from erpose_edge.training.distributed import Processes

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def config():
    return load_config("tiny", ["qat.calibration=generated-8", "network.input_size=[64, 64]"])


@pytest.fixture(scope="module")
def weights(config):
    return Weights(float_network().state_dict(), "float", config.model_dump(mode="json"))


@pytest.fixture(scope="module")
def calibrated(weights, config):
    quantization = Quantization(weights, config)
    quantization.calibrate()
    return quantization


def same(first, second):
    images = smooth_images(1, 4, (64, 64))
    with torch.no_grad():
        return all(
            torch.equal(a, b)
            for x, y in zip(first(images), second(images), strict=True)
            for a, b in zip(x, y, strict=True)
        )


def test_weights_of_a_run_are_the_network_it_ended_with(calibrated):
    result = calibrated.weights()
    assert same(deployed_network(result, quantized=True), calibrated.network)
    assert result.kind == "qat"
    assert len(result.details["policy_sha256"]) == len(result.details["calibration_sha256"]) == 64


@pytest.mark.slow
def test_fine_tuning_changes_weights_and_ranges_and_keeps_the_file_whole(weights, config, tmp_path):
    quantization = Quantization(weights, config)
    quantization.calibrate()
    before = {n: t.clone() for n, t in quantization.network.state_dict().items()}
    seen = []
    quantization.fine_tune(
        tmp_path, ALONE, on_step=seen.append, validate=lambda _network: {"ap": 0.5}
    )
    after = quantization.network.state_dict()
    assert [step.batch for step in seen] == [1, 2]
    assert not torch.equal(before["backbone.stem.conv.weight"], after["backbone.stem.conv.weight"])
    changed = [n for n in after if n.endswith(".scale") and not torch.equal(before[n], after[n])]
    assert len(changed) > len(activation_quantizers(quantization.network)) // 2
    assert '"ap": 0.5' in (tmp_path / "metrics.jsonl").read_text()
    assert same(deployed_network(quantization.weights(), quantized=True), quantization.network)
    with pytest.raises(RequestError, match="pass --resume"):
        quantization.fine_tune(tmp_path, ALONE)


@pytest.mark.slow
def test_a_frozen_backbone_keeps_its_weights_while_the_head_learns(weights, config, tmp_path):
    frozen = config.training.model_copy(update={"freeze_backbone": True})
    quantization = Quantization(weights, config.model_copy(update={"training": frozen}))
    quantization.calibrate()
    before = {n: t.clone() for n, t in quantization.network.named_parameters()}
    quantization.fine_tune(tmp_path, ALONE)
    after = dict(quantization.network.named_parameters())
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"neck", "head"}


def test_frozen_ranges_do_not_move(calibrated):
    network = TrainingGraph(calibrated.network)
    network.forward = lambda images: calibrated.network(images)
    scales = {n: float(q.scale) for n, q in activation_quantizers(network).items()}
    network.train()
    calibrated.network(smooth_images(1, 5, (64, 64)) * 3)
    for quantizer in activation_quantizers(network).values():
        quantizer.follow_batch()
    network.eval()
    assert {n: float(q.scale) for n, q in activation_quantizers(network).items()} == scales


def test_weights_of_another_scale_are_refused(weights):
    config = load_config("tiny", ["network.scale=s"])
    with pytest.raises(WeightsError, match=r"network\.scale: expected s, got n"):
        Quantization(weights, config)


def test_weights_of_another_activation_are_refused(weights):
    config = load_config("tiny", ["network.activation=silu"])
    with pytest.raises(WeightsError, match=r"network\.activation: expected silu, got relu"):
        Quantization(weights, config)

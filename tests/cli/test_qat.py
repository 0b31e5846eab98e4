import json

import pytest
import torch
from quantized_network import float_network

from erpose_edge.cli.app import main
from erpose_edge.config import load_config
from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
from erpose_edge.network.checkpoint import Weights, load_weights, save_weights
from erpose_edge.quantization.checkpoint import activation_scales, deployed_network
from erpose_edge.quantization.observers import METHODS

SMALL = ["--cfg", "tiny", "--set", "network.input_size=[64, 64]"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("float") / "float.safetensors"
    config = load_config("tiny").model_dump(mode="json")
    save_weights(path, Weights(float_network().state_dict(), "float", config))
    return path


def test_json_is_the_only_thing_on_stdout(weights, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["qat", *SMALL, "--weights", str(weights), "--out", str(out)]
    assert main([*arguments, "--epochs", "0", "--half", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["epochs"] == 0
    assert document["scales"] == 49
    assert 0 <= document["int8"]["ap"] <= 1
    assert "calibrate: 8/8" in captured.err
    read = load_weights(out / "weights.safetensors")
    assert read.details["int8"] == document["int8"]
    assert deployed_network(read, quantized=True) is not None
    assert load_config(out / "config.yaml").qat.epochs == 0


@pytest.mark.slow
def test_every_observer_makes_weights_that_deploy_takes(weights, tmp_path, capsys):
    """Post-training quantization is fine-tuning for 0 epochs; observers differ in scales alone."""
    scales, state = {}, {}
    for observer in METHODS:
        out = tmp_path / observer
        arguments = ["qat", *SMALL, "--weights", str(weights), "--epochs", "0", "--no-validate"]
        arguments += ["--set", f"qat.observer={observer}", "--out", str(out)]
        assert main(arguments) == 0
        read = load_weights(out / "weights.safetensors")
        assert read.config["qat"]["observer"] == observer
        network = deployed_network(read, quantized=True)
        scales[observer] = activation_scales(network)
        state[observer] = {n: t for n, t in read.state.items() if not n.endswith(".scale")}
        assert load_config(out / "config.yaml").qat.observer == observer
    assert "next: erpose-edge deploy --weights" in capsys.readouterr().err
    for observer in METHODS[1:]:
        assert all(torch.equal(state["minmax"][n], t) for n, t in state[observer].items())
        narrower = [scales[observer][n] <= s * 1.0001 for n, s in scales["minmax"].items()]
        assert all(narrower), observer  # nothing beyond what was seen
        assert scales[observer] != scales["minmax"]
    assert scales["percentile"] != scales["mse"]
    request = ExportRequest("t", "openvino", "int8", "raw")
    artifact = export_artifact(load_weights(tmp_path / "mse" / "weights.safetensors"), request,
                               tmp_path / "artifact")  # fmt: skip
    assert artifact.manifest.scales == scales["mse"]


@pytest.mark.slow
def test_a_run_is_not_overwritten_and_goes_on_with_resume(weights, tmp_path, capsys):
    arguments = ["qat", *SMALL, "--weights", str(weights), "--no-validate", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "scales, 1 epochs of fine-tuning" in capsys.readouterr().out
    first = load_weights(tmp_path / "weights.safetensors").state
    assert main(arguments) == 2
    assert "pass --resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0  # all epochs are done: the same weights again
    again = load_weights(tmp_path / "weights.safetensors").state
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--set", "qat.policy=nosuch"], 2, "expected a file, or a bundled name"),
        (["--set", "qat.observer=entropy"], 2, "qat.observer: expected"),
        (["--set", "network.scale=s"], 2, "network.scale: expected s, got n"),
        (["--weights", "missing.safetensors"], 2, "missing.safetensors"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    options, code, message, weights, tmp_path, capsys
):
    given = [] if "--weights" in options else ["--weights", str(weights)]
    out = tmp_path / "run"
    assert main(["qat", *SMALL, *given, *options, "--out", str(out)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()


def test_empty_weights_are_an_integrity_error(tmp_path, capsys):
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    assert main(["qat", *SMALL, "--weights", str(empty), "--out", str(tmp_path / "run")]) == 6
    assert "empty.safetensors: expected a safetensors file" in capsys.readouterr().err

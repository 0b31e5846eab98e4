import json
from pathlib import Path

import cv2
import pytest
import yaml
from own_answers import own_answers, small_policy, small_quantized_network
from quantized_network import float_network

from erpose_edge.cli.app import main
from erpose_edge.config import load_config
from erpose_edge.metrics.image_labels import to_coco
from erpose_edge.network.checkpoint import Weights, load_weights, save_weights
from erpose_edge.quantization.checkpoint import deployed_network, quantized_weights
from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.quantization.recipe import load_policy
from erpose_edge.schemas import load_schema
from erpose_edge.skeleton import COCO_17

LAYERS = [f"head.pose_tower.{level}.{i}.conv" for level in range(3) for i in range(2)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Weights, and images labelled with their own answers; the options that name them."""
    folder = tmp_path_factory.mktemp("inputs")
    config = load_config("tiny", ["network.input_size=[64, 64]"]).model_dump(mode="json")
    network = small_quantized_network()
    weights = quantized_weights(network, config, small_policy(), {})
    save_weights(folder / "qat.safetensors", weights)
    samples = own_answers(network, 2)
    for image, labels in samples:
        cv2.imwrite(str(folder / labels.file_name), image)
    document = to_coco([labels for _, labels in samples], COCO_17)
    (folder / "labels.json").write_text(json.dumps(document))
    return [
        "--weights", str(folder / "qat.safetensors"),
        "--data", str(folder / "labels.json"), "--images", str(folder),
    ]  # fmt: skip


def test_json_is_the_only_thing_on_stdout_and_keeps_to_the_schema(inputs, tmp_path, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    out = tmp_path / "run"
    arguments = ["sensitivity", *inputs, "--out", str(out), "--no-search", "--reverse"]
    assert main([*arguments, "--limit", "1", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    jsonschema.validate(document, load_schema("sensitivity"))
    assert document["images"] == 1
    assert [row["layer"] for row in document["layers"]] == LAYERS
    assert sorted(row["rank"] for row in document["layers"]) == list(range(1, 7))
    assert document["search"] is None
    assert "measure layers: 14/14" in captured.err
    assert json.loads((out / "sensitivity.json").read_text()) == document
    assert (out / "sensitivity.png").is_file()


def test_a_run_is_not_overwritten_and_goes_on_with_resume(inputs, tmp_path, capsys):
    arguments = ["sensitivity", *inputs, "--out", str(tmp_path), "--no-search"]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "head.pose_tower.0.0" in table
    assert "2 images" in table
    assert main(arguments) == 2
    assert "pass --resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert capsys.readouterr().out == table
    assert main([*arguments, "--resume", "--limit", "1"]) == 6
    assert "images: expected 2, with which the run was begun, got 1" in capsys.readouterr().err


@pytest.mark.slow
def test_the_policy_works_for_qat_and_for_the_weights_that_it_came_from(inputs, tmp_path, capsys):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxsim")
    out = tmp_path / "run"
    arguments = ["sensitivity", *inputs, "--out", str(out), "--limit", "1", "--json"]
    assert main([*arguments, "--min-retention", "0.01"]) == 0
    search = json.loads(capsys.readouterr().out)["search"]
    assert [step["change"] for step in search["steps"]] == ["as quantized"]
    assert set(search["fp32_ms"]) == set(search["int8_ms"]) > set(LAYERS)
    assert set(search["latency_model"]) == {"fp32", "int8"}
    assert search["keep_float"] == []
    policy = load_policy(search["policy"])
    assert policy.keep_float == small_policy().keep_float
    assert "of fp32's AP" in policy.description
    weights = load_weights(Path(inputs[1]))
    network = deployed_network(weights, quantized=True, policy=policy)
    assert list(quantized_convolutions(network)) == LAYERS
    assert yaml.safe_load((out / "policy.yaml").read_text())["keep_float"] == policy.keep_float


def test_float_weights_are_calibrated_first_and_it_is_said(inputs, tmp_path, capsys):
    config = load_config("tiny", ["network.input_size=[64, 64]"]).model_dump(mode="json")
    path = tmp_path / "float.safetensors"
    save_weights(path, Weights(float_network().state_dict(), "float", config))
    arguments = ["sensitivity", "--weights", str(path), "--count", "1", "--no-search"]
    assert main([*arguments, "--out", str(tmp_path / "run"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "is not quantized: its ranges come from calibration alone" in captured.err
    assert len(json.loads(captured.out)["layers"]) > 50
    assert main([*arguments, "--out", str(tmp_path / "run"), "--json", "--resume"]) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == json.loads(captured.out)
    assert "calibrate" not in again.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--target", "nosuch"], 5, "expected a file, or a bundled name"),
        (["--target", "onnxruntime-cpu"], 5, "engine: expected openvino, whose layers can be"),
        (["--weights", "missing.safetensors"], 2, "missing.safetensors"),
        (["--input-size", "100", "64"], 2, "--input-size: expected multiples of 32"),
    ],
)
def test_what_cannot_be_done_is_one_line(inputs, tmp_path, capsys, options, code, message):
    assert main(["sensitivity", *inputs, "--out", str(tmp_path), *options]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert captured.err.count("error: ") == 1

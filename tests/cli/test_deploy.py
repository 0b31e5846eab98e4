"""The whole on a real engine: bundled weights, artifacts, accuracy, latency, verdict."""

import json
from pathlib import Path

import pytest

from erpose_edge.cli.app import main
from erpose_edge.resources import find_resource
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.images import read_image
from erpose_edge.runtime.selftest import check_self_test
from erpose_edge.schemas import load_schema

pytestmark = pytest.mark.slow


@pytest.fixture
def small_profile(tmp_path):
    """The profile of OpenVINO on a CPU, at an input that takes little time."""
    text = find_resource("targets", "openvino-cpu").read_text()
    path = tmp_path / "small.yaml"
    path.write_text(
        text.replace("name: openvino-cpu", "name: small")
        .replace("min_retention: 0.99", "min_retention: 0.5")
        .replace("min_speedup_vs_fp32: 1.1", "min_speedup_vs_fp32: 0.1")
        .replace("[int8, mixed, fp16, fp32]", "[int8, mixed, fp32]")
    )
    return path


@pytest.fixture
def deployed(small_profile, tmp_path, capfd):
    """Deploy the bundled weights; returns exit code, stdout, stderr and the folder."""

    def run(*arguments):
        folder = tmp_path / "out"
        options = ["--count", "12", "--seconds", "0.3", "--out", str(folder), *arguments]
        code = main(["deploy", "--target", str(small_profile), *options])
        return code, *capfd.readouterr(), folder

    return run


def test_the_bundled_weights_pass_and_stdout_is_one_document_of_the_schema(deployed):
    code, out, err, folder = deployed("--json")
    document = json.loads(out)
    assert code == 0, err
    assert set(load_schema("deploy")["properties"]) <= set(document)
    assert (document["verdict"], document["chosen"]) == ("pass", "int8")
    assert [c["precision"] for c in document["candidates"]] == ["int8", "mixed", "fp32"]
    assert all(c["ap"] > 0 and c["p99_ms"] >= c["p50_ms"] > 0 for c in document["candidates"])
    assert json.loads((folder / "verdict.json").read_text())["chosen"] == "int8"
    assert read_artifact(document["artifact"]).manifest.precision == "int8"
    assert document["pictures"]
    for picture in document["pictures"]:
        height, width = read_image(picture).shape[:2]
        assert width > 3 * height  # fp32, int8 and mixed side by side


def test_the_artifact_finds_the_poses_of_its_self_test(deployed):
    *_, folder = deployed()
    from erpose_edge.data.generated.people import render_scene

    artifact = read_artifact(folder / "int8")
    assert all(artifact.manifest.self_test.poses)
    misses = check_self_test(
        PoseEstimator(artifact), artifact, lambda seed, size: render_scene(seed, size)[0]
    )
    assert not misses


@pytest.mark.parametrize(
    ("option", "code", "reason"),
    [("--max-p99-ms=0.001", 4, "p99: expected at most 0.001 ms")],
)
def test_a_budget_that_is_missed_is_the_exit_code_and_names_the_number(
    deployed, option, code, reason
):
    found, out, _, _ = deployed(option, "--json")
    assert found == code
    document = json.loads(out)
    assert (document["verdict"], document["chosen"], document["artifact"]) == ("fail", None, None)
    assert all(reason in candidate["rejected"] for candidate in document["candidates"])


def test_weights_that_are_not_quantized_are_calibrated_and_it_is_said(deployed):
    path = find_resource("weights", "erpose-n")
    code, out, err, folder = deployed("--weights", str(path), "--json")
    assert code in (0, 3)
    assert "int8 comes from calibration alone" in err
    assert json.loads(out)["candidates"][0]["precision"] == "int8"
    assert (folder / "calibrated.safetensors").is_file()


def test_times_of_a_machine_that_is_not_the_device_are_shown_and_not_judged(
    small_profile, deployed
):
    text = small_profile.read_text().replace("min_speedup_vs_fp32: 0.1", "min_speedup_vs_fp32: 99")
    small_profile.write_text(text + "device_tree: [another,board]\n")
    code, out, _, _ = deployed("--json")
    document = json.loads(out)
    assert (code, document["chosen"], document["judged_time"]) == (0, "int8", False)
    assert all(candidate["p50_ms"] > 0 for candidate in document["candidates"])
    assert any("were not judged" in note for note in document["notes"])
    assert any("benchmark_device.py" in step for step in document["remaining"])


@pytest.mark.parametrize(("target", "reason"), [("nonsense", "nonsense"), ("later", "planned")])
def test_a_target_that_cannot_be_served_ends_with_5_in_one_line(target, reason, tmp_path, capfd):
    if target == "later":
        text = find_resource("targets", "openvino-cpu").read_text()
        target = str(tmp_path / "later.yaml")
        Path(target).write_text(text.replace("status: available", "status: planned"))
    assert main(["deploy", "--target", target]) == 5
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert reason in err


@pytest.fixture
def silu_weights(tmp_path):
    """Quantized weights of a network that ONNX Runtime does not run in int8."""
    from quantized_network import float_network, quantized_network

    from erpose_edge.config import load_config
    from erpose_edge.network.checkpoint import save_weights
    from erpose_edge.quantization.checkpoint import quantized_weights
    from erpose_edge.quantization.recipe import load_policy

    config = load_config("tiny", ["network.activation=silu"]).model_dump(mode="json")
    network = quantized_network(float_network("silu"))
    path = tmp_path / "silu.safetensors"
    save_weights(path, quantized_weights(network, config, load_policy("default"), {}))
    return path


def test_a_rung_that_the_engine_refuses_is_rejected_with_its_reason(silu_weights, tmp_path, capfd):
    code = main(
        ["deploy", "--target", "onnxruntime-cpu", "--weights", str(silu_weights), "--count", "2",
         "--input-size", "64", "64", "--seconds", "0.1", "--min-retention", "0", "--json",
         "--out", str(tmp_path / "out")]
    )  # fmt: skip
    out, err = capfd.readouterr()
    rows = {row["precision"]: row for row in json.loads(out)["candidates"]}
    assert list(rows) == ["int8", "mixed", "fp32"], err
    for name in ("int8", "mixed"):
        assert "expected int8 execution on this CPU" in rows[name]["rejected"]
        assert rows[name]["ap"] is rows[name]["artifact"] is rows[name]["latency"] is None
    assert rows["fp32"]["artifact"]
    assert code == 3  # random weights find nobody


def test_off_the_board_a_jetson_gets_graphs_a_check_and_the_steps_that_remain(tmp_path, capfd):
    pytest.importorskip("tensorrt_rtx")
    text = find_resource("targets", "jetson-orin").read_text()
    profile = tmp_path / "orin.yaml"
    profile.write_text(text.replace("[int8, mixed, fp16, fp32]", "[int8, fp32]"))
    folder = tmp_path / "out"
    code = main(
        ["deploy", "--target", str(profile), "--count", "2", "--input-size", "128", "128",
         "--min-retention", "0", "--json", "--out", str(folder)]
    )  # fmt: skip
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert [row["precision"] for row in document["candidates"]] == ["int8", "fp32"]
    assert all(row["p50_ms"] is row["latency"] is None for row in document["candidates"]), err
    assert document["engine"].endswith("in place of tensorrt")
    notes = " ".join(document["notes"])
    assert "int8: tensorrt-rtx" in notes
    assert "does not prove" in notes
    assert code in (0, 3)
    if document["chosen"]:
        steps = " ".join(document["remaining"])
        assert "python3 -m erpose_edge.runtime.tensorrt.build" in steps
    assert {"model.onnx", "model_typed.onnx", "BUILD.md"} <= {
        path.name for path in (folder / "int8").iterdir()
    }

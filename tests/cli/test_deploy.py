"""The whole on a real engine: bundled weights, artifacts, accuracy, latency, verdict."""

import contextlib
import io
import json
from pathlib import Path

import pytest
import yaml

from erpose_edge.cli.app import main
from erpose_edge.resources import find_resource
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.images import read_image
from erpose_edge.runtime.selftest import check_self_test
from erpose_edge.schemas import load_schema

pytestmark = pytest.mark.slow


FEW = ["--count", "6", "--seconds", "0.2", "--input-size", "128", "128", "--json"]


def small_profile(folder, **changes):
    """The profile of OpenVINO on a CPU with fewer precisions and a mild budget."""
    values = yaml.safe_load(find_resource("targets", "openvino-cpu").read_text())
    values["budget"] = {"min_retention": 0.3, "max_p99_ms": None, "min_speedup_vs_fp32": 0.01}
    values.update({"name": "small", "precisions": ["int8", "fp32"], **changes})
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """The bundled weights, deployed at their own size; exit code, document and folder."""
    folder = tmp_path_factory.mktemp("deployed")
    profile = small_profile(folder, precisions=["int8", "mixed", "fp32"])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(
            ["deploy", "--target", profile, "--count", "12", "--seconds", "0.3", "--json",
             "--out", str(folder / "out")]
        )  # fmt: skip
    return code, json.loads(out.getvalue()), folder / "out"


def test_the_bundled_weights_pass_and_stdout_is_one_document_of_the_schema(deployed):
    code, document, folder = deployed
    assert code == 0
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
    from erpose_edge.data.generated.people import render_scene

    artifact = read_artifact(deployed[2] / "int8")
    assert all(artifact.manifest.self_test.poses)
    misses = check_self_test(
        PoseEstimator(artifact), artifact, lambda seed, size: render_scene(seed, size)[0]
    )
    assert not misses


def test_a_budget_that_is_missed_is_the_exit_code_and_names_the_number(tmp_path, capfd):
    """Float weights too: they are calibrated, and it is said."""
    path = find_resource("weights", "erpose-n")
    profile, folder = small_profile(tmp_path), tmp_path / "out"
    options = ["--weights", str(path), "--max-p99-ms=0.001", "--min-retention=0"]
    code = main(["deploy", "--target", profile, *FEW, *options, "--out", str(folder)])
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert code == 4
    assert (document["verdict"], document["chosen"], document["artifact"]) == ("fail", None, None)
    reason = "p99: expected at most 0.001 ms"
    assert all(reason in candidate["rejected"] for candidate in document["candidates"])
    assert "int8 comes from calibration alone" in err
    assert document["candidates"][0]["precision"] == "int8"
    assert (folder / "calibrated.safetensors").is_file()


def test_times_of_a_machine_that_is_not_the_device_are_shown_and_not_judged(tmp_path, capfd):
    budget = {"min_retention": 0, "max_p99_ms": None, "min_speedup_vs_fp32": 99}
    profile = small_profile(tmp_path, budget=budget, device_tree=["another,board"])
    code = main(["deploy", "--target", profile, *FEW, "--out", str(tmp_path / "out")])
    document = json.loads(capfd.readouterr().out)
    assert (code, document["chosen"], document["judged_time"]) == (0, "int8", False)
    assert all(candidate["p50_ms"] > 0 for candidate in document["candidates"])
    assert any("were not judged" in note for note in document["notes"])
    assert any("--host" in step for step in document["remaining"])


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
        assert "--host USER@BOARD" in steps
        assert "trtexec" in steps
    assert {"model.onnx", "model_typed.onnx", "BUILD.md"} <= {
        path.name for path in (folder / "int8").iterdir()
    }

"""``erpose-edge info``: what it prints, and what it refuses."""

from __future__ import annotations

import json

import pytest

from erpose_edge.cli.app import main
from erpose_edge.config import NetworkConfig
from erpose_edge.schemas import load_schema


def printed(capsys, *arguments):
    assert main(["info", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.mark.parametrize("cfg", ["n.yaml", "x", "tiny"])
def test_json_is_one_document_that_keeps_to_the_schema(capsys, cfg):
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(printed(capsys, "--cfg", cfg, "--json"))
    jsonschema.validate(document, load_schema("info"))
    assert document["scale"] == ("x" if cfg == "x" else "n")
    for key in ("name", "parameters", "gflops"):
        assert all(key in stage for stage in document["stages"])


def test_the_screen_shows_the_whole_and_a_row_for_each_stage(capsys):
    document = json.loads(printed(capsys, "--json"))
    text = printed(capsys)
    assert f"{document['parameters']:,}" in text
    assert f"{document['gflops']:.3f}" in text
    assert "640 x 640" in text
    for stage in document["stages"]:
        assert stage["name"] in text


def test_a_setting_overrides_the_config(capsys):
    small, large = (
        json.loads(printed(capsys, "--json", "--set", f"network.input_size=[{side}, {side}]"))
        for side in (320, 640)
    )
    assert small["input_size"] == [320, 320]
    assert small["parameters"] == large["parameters"]
    assert large["gflops"] == pytest.approx(4 * small["gflops"], rel=1e-3)


def test_it_describes_the_network_of_a_weights_file(capsys, tmp_path):
    pytest.importorskip("torch")
    from small_people import small_config

    from erpose_edge.network.checkpoint import Weights, save_weights
    from erpose_edge.network.pose_network import ERPose

    path = tmp_path / "weights.safetensors"
    config = json.loads(small_config("network.scale=s").model_dump_json())
    state = ERPose(NetworkConfig(scale="s"), 17).state_dict()
    save_weights(path, Weights(state, "float", config, {"ap": 0.25}))
    document = json.loads(printed(capsys, "--weights", str(path), "--json"))
    assert (document["scale"], document["kind"], document["input_size"]) == ("s", "float", [64, 64])
    assert document["details"] == {"ap": 0.25}


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--set", "network.scael=s"], 2, "scale"),
        (["--set", "network.input_size=[100, 100]"], 2, "network.input_size"),
        (["--cfg", "no-such-config"], 2, "no-such-config"),
        (["--weights", "no.safetensors"], 2, "no.safetensors"),
        (["--weights", "empty.safetensors"], 6, "empty.safetensors"),
    ],
)
def test_a_mistake_is_one_line_and_its_exit_code(
    capsys, tmp_path, monkeypatch, arguments, code, named
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.safetensors").touch()
    assert main(["info", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert named in captured.err

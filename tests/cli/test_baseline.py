"""The box-driven baseline through the same commands as every other network."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from small_people import ABLATION, SMALL_RUN

from erpose_edge.cli.app import main
from erpose_edge.network.checkpoint import load_weights, network_of

pytestmark = pytest.mark.slow
SETTINGS = [part for s in (*SMALL_RUN, *ABLATION["baseline"]) for part in ("--set", s)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baseline") / "run"
    assert main(["train", "--cfg", "tiny", "--out", str(folder), *SETTINGS]) == 0
    return folder / "weights.safetensors"


def test_weights_remember_which_network_they_are_of(trained):
    weights = load_weights(trained)
    assert weights.nms == 0.65
    network = network_of(weights)
    assert (network.config.boxes, network.config.one_to_one) == (True, False)
    rows = (trained.parent / "metrics.jsonl").read_text().splitlines()
    assert {"dense_box", "dense_dfl", "ap"} <= json.loads(rows[0]).keys()


def test_weights_of_the_baseline_are_not_those_of_another_network(trained, tmp_path, capsys):
    arguments = ["--cfg", "tiny", "--out", str(tmp_path / "run"), "--set", SMALL_RUN[0]]
    assert main(["train", *arguments, "--set", f"training.init={trained}"]) != 0
    assert "network.boxes: expected False, got True" in capsys.readouterr().err


def test_it_is_validated_exported_timed_and_quantized(trained, tmp_path, capsys):
    pytest.importorskip("openvino")
    assert main(["validate", str(trained), "--count", "1", "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["ap"] <= 1
    artifact = str(tmp_path / "artifact")
    size = ["--input-size", "64", "64"]
    assert main(["export", str(trained), "--precision", "fp32", "--out", artifact, *size]) == 0
    assert main(["validate", artifact, "--count", "1"]) == 0
    assert main(["bench", artifact, "--seconds", "0.1"]) == 0
    out = ["--out", str(tmp_path / "qat"), "--set", f"training.init={trained}"]
    assert main(["qat", "--cfg", "tiny", "--set", "qat.epochs=0", *SETTINGS, *out]) == 0

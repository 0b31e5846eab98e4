"""``erpose-edge export --dla`` adds what DLA needs, and refuses targets without one."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxsim")

from erpose_edge.cli.app import main  # noqa: E402
from erpose_edge.resources import find_resource  # noqa: E402

WEIGHTS = "erpose-n"


def test_a_target_without_dla_is_refused_before_anything_is_loaded(capsys):
    assert main(["export", "no-such-weights", "--target", "thor", "--dla"]) == 5
    assert "target thor: expected one with DLA" in capsys.readouterr().err


@pytest.mark.slow
def test_the_document_says_what_to_expect_on_dla(tmp_path, capsys):
    folder = str(tmp_path / "artifact")
    arguments = [str(find_resource("weights", WEIGHTS)), "--target", "xavier-nx", "--dla"]
    arguments += ["--precision", "fp16", "--input-size", "64", "64", "--out", folder, "--json"]
    assert main(["export", *arguments]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert "dla.json" in document["files"]
    said = document["dla"]
    assert said["transitions"] <= said["max_transitions"]
    assert said["dla_percent_of_macs"] == 100.0
    assert {case["available"] for case in said["support"]} >= {"yes"}
    assert "DLA, expected by NVIDIA's list of layers: " in captured.err
    assert "--dla-core" in (tmp_path / "artifact" / "BUILD.md").read_text()

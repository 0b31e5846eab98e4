"""``erpose-edge train`` from end to end on the tiny config, and what it refuses."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from small_people import SMALL_RUN

from erpose_edge.cli.app import main
from erpose_edge.config import load_config
from erpose_edge.network.checkpoint import load_weights, network_of
from erpose_edge.runtime.images import read_image
from erpose_edge.training import session

pytestmark = pytest.mark.slow


def train(folder, *arguments, settings=SMALL_RUN):
    given = [part for setting in settings for part in ("--set", setting)]
    return main(["train", "--cfg", "tiny", "--out", str(folder), *given, *arguments])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a run of one epoch."""
    folder = tmp_path_factory.mktemp("train") / "run"
    assert train(folder) == 0
    return folder


def test_a_run_leaves_weights_config_metrics_curves_and_samples(finished):
    assert set(contents(finished)) == {
        "best.safetensors", "config.yaml", "curves.png", "metrics.jsonl", "samples.jpg",
        "state.pt", "weights.safetensors",
    }  # fmt: skip
    config = load_config(finished / "config.yaml")
    assert config == load_config("tiny", SMALL_RUN)
    (row,) = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert row["epoch"] == 1
    assert 0 <= row["ap"] <= 1
    weights = load_weights(finished / "weights.safetensors")
    assert weights.config == json.loads(config.model_dump_json())
    assert weights.details["metrics"] == row
    network_of(weights)
    for picture in ("curves.png", "samples.jpg"):
        assert min(read_image(finished / picture).shape[:2]) >= 300


def test_json_is_one_document_and_progress_goes_to_stderr(tmp_path, capsys):
    assert train(tmp_path / "run", "--json", "--no-validate") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["weights"] == str(tmp_path / "run" / "weights.safetensors")
    (row,) = document["metrics"]
    assert "ap" not in row
    assert "train: 2/2 epoch 1/1, loss" in captured.err
    assert "images/s" in captured.err


def test_a_folder_with_a_run_in_it_is_not_overwritten(finished, capsys):
    before = contents(finished)
    assert train(finished) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: run ")
    assert "--resume" in captured.err
    assert contents(finished) == before


def test_resuming_under_another_config_changes_nothing(finished, capsys):
    before = contents(finished)
    assert train(finished, "--resume", "--set", "training.learning_rate=0.5") == 6
    assert "got one of another" in capsys.readouterr().err
    assert contents(finished) == before


def test_resuming_a_finished_run_says_how_it_went(finished, capsys):
    assert train(finished, "--resume") == 0
    assert "1 epochs, loss" in capsys.readouterr().out


def test_an_interrupt_ends_with_130_and_the_run_goes_on_later(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr(session, "plot_curves", _interrupt)
    assert train(folder) == 130
    assert capsys.readouterr().err.endswith("interrupted\n")
    monkeypatch.undo()
    assert train(folder, "--resume") == 0


def _interrupt(*_):
    raise KeyboardInterrupt


def test_an_unknown_setting_is_refused_before_anything_is_written(tmp_path, capsys):
    assert train(tmp_path / "run", "--set", "training.epohcs=3") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "epochs" in captured.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "code", "named"),
    [
        ("training.init=no.safetensors", 2, "no.safetensors"),
        ("training.init=empty.safetensors", 6, "empty.safetensors"),
        ("data.train=[{kind: coco, labels: no.json, images: .}]", 2, "no.json"),
        ("training.learning_rate=1.0e+30", 2, "training.learning_rate"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(
    tmp_path, capsys, monkeypatch, setting, code, named
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.safetensors").touch()
    settings = [*SMALL_RUN, "training.warmup_epochs=0", "training.optimizer=sgd", setting]
    assert train(tmp_path / "run", settings=settings) == code
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "error: " in text]
    assert named in line


def test_weights_of_another_scale_name_both_scales(finished, tmp_path, capsys):
    init = f"training.init={finished / 'weights.safetensors'}"
    assert train(tmp_path / "run", "--set", init, "--set", "network.scale=s") == 2
    assert "network.scale: expected s, got n" in capsys.readouterr().err


def test_images_that_cannot_be_read_are_replaced_and_bad_entries_named(tmp_path, capsys):
    import cv2
    import numpy as np

    keypoints = [value for k in range(17) for value in (20 + k, 30 + k, 2)]
    person = {"category_id": 1, "iscrowd": 0, "area": 900.0, "bbox": [10, 20, 30, 40],
              "num_keypoints": 17}  # fmt: skip
    document = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in range(1, 5)
        ],
        "annotations": [
            {"id": i, "image_id": i, "keypoints": keypoints, **person} for i in range(1, 5)
        ] + [{"id": 77, "image_id": 1, "keypoints": keypoints[:48], **person}],
        "categories": [{"id": 1, "name": "person"}],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(document))
    for i in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((64, 64, 3), 50 * i, np.uint8))
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:60])  # and 4 is missing
    source = f"{{kind: coco, labels: {tmp_path / 'labels.json'}, images: {tmp_path}}}"
    settings = [*SMALL_RUN, f"data.train=[{source}]", f"data.val={source}"]
    assert train(tmp_path / "run", settings=settings) == 0
    err = capsys.readouterr().err
    assert "not used: " in err
    assert "77" in err
    assert (tmp_path / "run" / "samples.jpg").exists()

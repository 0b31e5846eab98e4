"""The ablation: its rows differ in what they say, and its intervals are those of the images."""

from __future__ import annotations

import importlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from small_people import ABLATION

from erpose_edge.config import load_config
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.accuracy import coco_detections

ROOT = Path(__file__).parents[2]
K = len(COCO_17)


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("ablation")


def image(image_id):
    x, y = np.meshgrid(np.arange(K), [image_id])
    keypoints = np.stack([10 * x + 20, 90 - y, np.full_like(x, 2)], -1).astype(np.float32)
    return ImageLabels(
        image_id=image_id,
        file_name=f"{image_id}.jpg",
        width=320,
        height=240,
        keypoints=keypoints,
        boxes=np.array([[0, 0, 200, 200]], np.float32),
        areas=np.array([20000.0]),
        ignore=np.zeros(1, bool),
        annotation_ids=np.array([image_id + 1]),
        crowd_index=None,
    )


def poses_of(labels, shift=0.0):
    points = labels.keypoints[:, :, :2] + shift
    return Poses(np.full(1, 0.5, np.float32), points, np.ones((1, K), np.float32))


def test_every_step_takes_one_idea_back(ablation):
    rows = ablation.STUDIES["steps"].rows
    assert [set(row.settings) for row in rows] == [set(s) for s in ABLATION.values()]
    for row, following in pairwise(rows):
        assert set(following.settings) < set(row.settings)
        assert len(row.settings) - len(following.settings) == 1


@pytest.mark.parametrize("study", ["steps", "head", "start"])
def test_every_row_is_a_config_of_its_own(ablation, study):
    rows = ablation.STUDIES[study].rows
    configs = {load_config("ablation", row.settings).model_dump_json() for row in rows}
    assert len(configs) == len(rows)
    assert rows[0].key == "baseline" or not rows[0].settings


def test_poses_come_back_from_the_result_file(ablation, tmp_path):
    labels = image(3)
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(coco_detections({3: poses_of(labels)})))
    found = ablation._read_poses(path, COCO_17)
    assert np.array_equal(found[3].keypoints, labels.keypoints[:, :, :2])
    assert found[3].scores.tolist() == [0.5]
    assert len(found[4]) == 0


def test_intervals_are_over_images_and_differences_are_paired(ablation, monkeypatch):
    monkeypatch.setattr(ablation, "_DRAWS", 40)
    images = [image(i) for i in range(8)]
    perfect = {i.image_id: poses_of(i) for i in images}
    half = {i.image_id: poses_of(i, 0.0 if i.image_id % 2 else 1e4) for i in images}
    drawn = ablation._bootstrap(images, {"a": [perfect], "b": [half], "c": [half, half]}, COCO_17)
    assert drawn["a"] == pytest.approx(1)
    assert drawn["b"].std() > 0.05
    assert np.array_equal(drawn["b"], drawn["c"])
    assert drawn["b"].mean() == pytest.approx(0.25, abs=0.12)

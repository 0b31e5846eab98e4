"""Sources: photographs with labels, and generated people, behind one interface."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from erpose_edge.config import GeneratedSource, LabelledSource
from erpose_edge.data.sample import OUTSIDE, UNLABELLED
from erpose_edge.data.sources import open_source, weights_of
from erpose_edge.errors import DataError, ImageError
from erpose_edge.skeleton import COCO_17


@pytest.fixture
def photographs(tmp_path):
    """Three images, of which the second is no image, and a label file with a bad entry."""
    people = []
    for image_id in (1, 2, 3):
        keypoints = [[20 + k, 30 + k, 2 if k < 10 else 0] for k in range(17)]
        people.append({
            "id": image_id, "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": 900.0,
            "bbox": [10, 20, 30, 40], "num_keypoints": 10,
            "keypoints": np.ravel(keypoints).tolist(),
        })  # fmt: skip
        file = tmp_path / f"{image_id}.png"
        cv2.imwrite(str(file), np.full((96, 64, 3), 10 * image_id, np.uint8))
    (tmp_path / "2.png").write_bytes(b"no image")
    people.append({**people[0], "id": 9, "keypoints": people[0]["keypoints"][:48]})
    document = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 64, "height": 96} for i in (1, 2, 3)
        ],
        "annotations": people,
        "categories": [{"id": 1, "name": "person"}],
    }
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(document), encoding="utf-8")
    return LabelledSource(kind="coco", labels=labels, images=tmp_path)


def test_photographs_are_read_when_asked_for(photographs):
    source = open_source(photographs, COCO_17)
    assert len(source) == 3
    image, labels = source.image_and_labels(2)
    assert image.shape == (96, 64, 3)
    assert labels.file_name == "3.png"
    assert (image == 30).all()


def test_an_entry_that_cannot_be_used_is_listed_and_not_fatal(photographs):
    (rejected,) = open_source(photographs, COCO_17).rejected
    assert "9" in rejected.entry
    assert str(photographs.labels) in str(rejected)


def test_an_image_that_cannot_be_read_is_an_image_error(photographs):
    source = open_source(photographs, COCO_17)
    with pytest.raises(ImageError, match=r"2\.png"):
        source.sample(1)


def test_an_image_of_another_size_than_its_labels_is_an_image_error(photographs):
    cv2.imwrite(str(photographs.images / "1.png"), np.zeros((48, 32, 3), np.uint8))
    source = open_source(photographs, COCO_17)
    with pytest.raises(
        ImageError, match=r"1\.png: size: expected 64 x 96 as labelled, got 32 x 48"
    ):
        source.sample(0)


def test_an_entry_is_an_image_or_where_to_read_it(photographs):
    path, labels = open_source(photographs, COCO_17).entry(1)
    assert path == photographs.images / "2.png"
    assert labels.image_id == 2
    config = GeneratedSource(kind="generated", count=1, seed=3, size=(64, 96))
    image, _ = open_source(config, COCO_17).entry(0)
    assert image.shape == (64, 96, 3)


def test_an_unlabelled_keypoint_of_a_photograph_is_unknown(photographs):
    sample = open_source(photographs, COCO_17).sample(0)
    assert (sample.flags[0, 10:] == UNLABELLED).all()


def test_an_unlabelled_keypoint_of_a_generated_person_is_outside():
    source = open_source(GeneratedSource(kind="generated", count=4, seed=3, size=(64, 96)), COCO_17)
    flags = np.concatenate([source.sample(i).flags for i in range(len(source))])
    assert len(flags)
    assert not (flags == UNLABELLED).any()
    assert (flags == OUTSIDE).any()


def test_a_missing_folder_of_images_is_named(photographs):
    config = photographs.model_copy(update={"images": Path("no/such/folder")})
    with pytest.raises(DataError, match="images no/such/folder: expected a folder, got none"):
        open_source(config, COCO_17)


def test_a_missing_label_file_is_named(photographs):
    config = photographs.model_copy(update={"labels": Path("no.json")})
    with pytest.raises(DataError, match=r"no\.json"):
        open_source(config, COCO_17)


def test_images_without_people_can_be_left_out(photographs):
    document = json.loads(photographs.labels.read_text())
    document["annotations"] = [a for a in document["annotations"] if a["id"] != 3]
    document["annotations"][1]["iscrowd"] = 1  # of image 2
    photographs.labels.write_text(json.dumps(document))
    config = photographs.model_copy(update={"weight": 2.0, "empty": 0.25})
    assert weights_of(config, open_source(config, COCO_17)).tolist() == [2.0, 0.5, 0.5]
    generated = GeneratedSource(kind="generated", count=2, weight=0.3)
    assert weights_of(generated, open_source(generated, COCO_17)).tolist() == [0.3, 0.3]


def test_how_large_an_image_is_and_how_many_people_it_has_is_known_unread(photographs):
    assert open_source(photographs, COCO_17).extent(1) == (96, 64, 1)
    config = GeneratedSource(kind="generated", count=6, seed=3, size=(64, 96))
    scenes = open_source(config, COCO_17)
    for index in range(len(scenes)):
        height, width, most = scenes.extent(index)
        assert scenes.sample(index).image.shape == (height, width, 3)
        assert len(scenes.sample(index).areas) <= most

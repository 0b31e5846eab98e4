"""``erpose-edge data``: reports on label files, and data sets of generated people."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from erpose_edge.cli.app import main
from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.metrics.labels import read_labels
from erpose_edge.runtime.images import read_image
from erpose_edge.skeleton import COCO_17

SIZE = (96, 128)
COUNT, SEED = 4, 7


def run(capfd, *arguments):
    code = main(["data", *map(str, arguments)])
    return code, *capfd.readouterr()


@pytest.fixture
def generated(tmp_path, capfd):
    """A data set of generated people."""
    folder = tmp_path / "people"
    code, _, err = run(
        capfd, "generate", "--out", folder, "--count", COUNT, "--seed", SEED, "--size", *SIZE
    )
    assert code == 0, err
    return folder


@pytest.fixture
def labelled(tmp_path):
    """Three images: a person with flags 0, 1 and 2, a crowd, nobody; a function that changes it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for image_id in (1, 2, 3):
        cv2.imwrite(str(folder / f"{image_id}.png"), np.zeros((60, 80, 3), np.uint8))
    points = np.c_[np.linspace(5, 70, 17), np.linspace(5, 50, 17), np.full(17, 2)]
    points[0] = 0
    points[1, 2] = 1
    points[2, 0] = 200  # outside the picture
    person = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [5, 5, 65, 45],
        "area": 400,
        "num_keypoints": 16,
        "keypoints": points.ravel().tolist(),
    }
    document = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 80, "height": 60} for i in (1, 2, 3)
        ],
        "annotations": [person, {**person, "id": 2, "image_id": 2, "iscrowd": 1}],
    }

    def arguments(change=lambda document: None):
        change(document)
        (tmp_path / "labels.json").write_text(json.dumps(document))
        return ["check", tmp_path / "labels.json", "--images", folder]

    return arguments


def test_generate_writes_the_pixels_and_labels_of_the_seed(generated):
    labels = read_labels(generated / "labels.json", COCO_17)
    scenes = list(GeneratedPeople(COUNT, seed=SEED, size=SIZE))
    assert labels.rejected == []
    assert len(labels.images) == len(scenes) == COUNT
    for found, (image, expected) in zip(labels.images, scenes, strict=True):
        np.testing.assert_array_equal(read_image(generated / "images" / found.file_name), image)
        np.testing.assert_array_equal(found.keypoints, expected.keypoints)
        np.testing.assert_array_equal(found.areas, expected.areas)
        np.testing.assert_array_equal(found.ignore, expected.ignore)


def test_generate_does_not_write_into_a_folder_with_files(generated, capfd):
    before = sorted(generated.rglob("*"))
    code, out, err = run(capfd, "generate", "--out", generated, "--count", 1)
    assert (code, out) == (2, "")
    assert f"{generated}: expected a new or empty folder, got one with files in it" in err
    assert sorted(generated.rglob("*")) == before


def test_an_interrupted_generate_leaves_nothing_behind(tmp_path, capfd, monkeypatch):
    drawn = []

    def interrupt(*arguments):
        drawn.append(arguments)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return True, np.zeros(1, np.uint8)

    monkeypatch.setattr("cv2.imencode", interrupt)
    code, _, _ = run(capfd, "generate", "--out", tmp_path / "new", "--count", 3, "--size", *SIZE)
    assert code == 130
    assert list(tmp_path.iterdir()) == []


def test_generate_refuses_sizes_that_no_config_takes(tmp_path, capfd):
    code, _, err = run(capfd, "generate", "--out", tmp_path / "x", "--count", 1, "--size", 32, 9999)
    assert code == 2
    assert "--size: expected sides from 64 to 2048 pixels, got 32 9999" in err


def test_check_finds_no_fault_in_a_generated_data_set(generated, capfd):
    code, out, err = run(
        capfd, "check", generated / "labels.json", "--images", generated / "images", "--json"
    )
    document = json.loads(out)
    scenes = [labels for _, labels in GeneratedPeople(COUNT, seed=SEED, size=SIZE)]
    assert code == 0
    assert document["images"] == COUNT
    assert document["people"] == sum(int((~labels.ignore).sum()) for labels in scenes)
    assert document["image_sizes"] == {"128 x 96": COUNT}
    assert document["rejected"] == document["unreadable"] == []
    assert f"{COUNT}/{COUNT}" in err


def test_check_counts_flags_crowds_and_empty_images(labelled, capfd):
    code, out, _ = run(capfd, *labelled(), "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["images"], document["images_without_people"]) == (3, 2)
    assert (document["people"], document["ignored"]) == (1, 1)
    assert document["keypoints"]["nose"] == {"visible": 0, "hidden": 0, "unlabelled": 1}
    assert document["keypoints"]["left_eye"] == {"visible": 0, "hidden": 1, "unlabelled": 0}
    assert document["keypoints"]["left_hip"] == {"visible": 1, "hidden": 0, "unlabelled": 0}
    assert document["keypoints_outside"] == 1
    assert document["person_sizes_px"] == {"p10": 20.0, "p50": 20.0, "p90": 20.0}


def test_check_lists_entries_and_images_that_cannot_be_used(labelled, capfd, tmp_path):
    def with_mistakes(document):
        document["annotations"][1]["keypoints"] = [1.0] * 48
        document["images"][2]["width"] = 81

    arguments = labelled(with_mistakes)
    (tmp_path / "photos" / "2.png").write_bytes(b"")
    code, out, err = run(capfd, *arguments)
    assert code == 0
    assert "label entries that cannot be used: 1" in out
    assert "images that cannot be used: 2" in out
    assert "labels.json: annotation 2: keypoints: expected 51 numbers (17 keypoints)" in err
    assert "2.png: image 2: expected a picture, got an empty file" in err
    assert "3.png: image 3: size: expected 81 x 60 as labelled, got 80 x 60" in err


def test_strict_makes_them_a_failure(labelled, capfd, tmp_path):
    arguments = labelled()
    (tmp_path / "photos" / "3.png").unlink()
    code, out, err = run(capfd, *arguments, "--strict", "--json")
    assert code == 2
    assert len(json.loads(out)["unreadable"]) == 1
    assert "image 3: expected a picture, got no such file" in err
    assert "1 unusable in all, and --strict was given" in err


def test_nothing_usable_is_one_line_and_exit_2(labelled, capfd, tmp_path):
    arguments = labelled()
    for image in (tmp_path / "photos").iterdir():
        image.unlink()
    code, out, err = run(capfd, *arguments, "--json")
    assert (code, out) == (2, "")
    assert "photos: expected at least one usable image" in err.splitlines()[-1]
    (tmp_path / "labels.json").write_text("{}")
    code, out, err = run(capfd, *arguments, "--json")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"error: {tmp_path / 'labels.json'}: images: expected a list, got no such field"
    ]


def test_check_draws_only_what_is_labelled(labelled, capfd, tmp_path):
    code, out, _ = run(capfd, *labelled(), "--out", tmp_path / "drawn", "--json")
    assert code == 0
    first, second = (tmp_path / "drawn" / name for name in ("1.jpg", "2.jpg"))
    assert json.loads(out)["pictures"] == [str(first), str(second)]
    drawn = read_image(first)
    assert drawn.max() > 200
    assert drawn[:3, :3].max() < 40  # the unlabelled nose is stored as (0, 0)
    assert read_image(second).max() < 200  # a crowd: a grey box, no skeleton


def test_the_number_of_pictures_can_be_chosen(generated, capfd, tmp_path):
    arguments = ["check", generated / "labels.json", "--images", generated / "images"]
    code, out, _ = run(capfd, *arguments, "--out", tmp_path / "drawn", "--pictures", 1)
    assert code == 0
    assert len(list((tmp_path / "drawn").iterdir())) == 1
    assert "1 pictures: " in out

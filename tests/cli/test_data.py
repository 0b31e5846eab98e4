"""``erpose-edge data``: reports on label files, and data sets of generated people."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from standing_people import write_photographs

from erpose_edge.cli.app import main
from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.metrics.crowd_index import crowd_index, crowd_subset
from erpose_edge.metrics.labels import read_labels, to_coco
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
    assert "faults in all: 1, and --strict was given" in err


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


def _layout(folder, files, images, *, start=0):
    """Write label files of one image each, and pictures for all that are named."""
    for file, names in files.items():
        entries = [
            {"id": start + i, "file_name": n, "width": 80, "height": 60}
            for i, n in enumerate(names, start=1)
        ]
        points = np.c_[np.linspace(5, 70, 17), np.linspace(5, 50, 17), np.full(17, 2)]
        if "crowdpose" in file:
            points = points[:14]
        people = [
            {"id": entry["id"], "image_id": entry["id"], "category_id": 1, "iscrowd": 0,
             "bbox": [5, 5, 65, 45], "keypoints": points.ravel().tolist()}
            for entry in entries
        ]  # fmt: skip
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps({"images": entries, "annotations": people}))
        start += len(names)
    for name in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((60, 80, 3), np.uint8))
    return folder


COCO_FILES = {
    "annotations/person_keypoints_train2017.json": ["1.png", "2.png"],
    "annotations/person_keypoints_val2017.json": ["3.png"],
}
COCO_IMAGES = ["train2017/1.png", "train2017/2.png", "val2017/3.png"]


def test_a_coco_folder_is_checked_split_by_split(tmp_path, capfd):
    folder = _layout(tmp_path / "coco", COCO_FILES, COCO_IMAGES)
    code, out, err = run(capfd, "check", folder, "--strict", "--json", "--out", tmp_path / "drawn")
    document = json.loads(out)
    assert (code, document["layout"]) == (0, "coco"), err
    assert {name: s["images"] for name, s in document["splits"].items()} == {"train": 2, "val": 1}
    assert document["missing"] == document["overlaps"] == []
    assert [p.removeprefix(str(tmp_path)) for p in document["pictures"]] == [
        "/drawn/train/1.jpg", "/drawn/train/2.jpg", "/drawn/val/3.jpg",
    ]  # fmt: skip


def test_what_a_coco_folder_lacks_is_named_with_the_way_out(tmp_path, capfd):
    files = {name: images for name, images in COCO_FILES.items() if "train" in name}
    folder = _layout(tmp_path / "coco", files, COCO_IMAGES[:2])
    code, out, err = run(capfd, "check", folder)
    assert code == 0
    assert "coco layout" in out
    assert "nothing is missing" not in out
    labels = folder / "annotations" / "person_keypoints_val2017.json"
    assert f"missing: {labels}: expected the labels of val, got none; unpack annotations_" in err
    assert f"missing: {folder / 'val2017'}: expected the images of val, got none; unpack" in err
    code, _, err = run(capfd, "check", folder, "--strict")
    assert code == 2
    assert "person_keypoints_val2017.json: expected the labels of val" in err.splitlines()[-1]


def test_images_before_their_labels_are_recognised_as_coco(tmp_path, capfd):
    folder = _layout(tmp_path / "coco", {}, COCO_IMAGES)
    code, out, err = run(capfd, "check", folder, "--json")
    assert (code, out) == (2, "")
    assert "expected a split of the coco layout to check, got none" in err
    assert "person_keypoints_train2017.json: expected the labels of train" in err


def test_an_image_in_two_splits_is_a_fault(tmp_path, capfd):
    files = {name: ["1.png"] for name in COCO_FILES}
    folder = _layout(tmp_path / "coco", files, ["train2017/1.png", "val2017/1.png"])
    code, out, err = run(capfd, "check", folder, "--strict")
    assert code == 2
    assert "train and val: 1 images in both by file name, 0 by id; 1.png" in out
    assert "expected no image in both train and val, got 1 (1.png)" in err


def test_crowdpose_needs_trainval_and_test_and_its_trainval_holds_train(tmp_path, capfd):
    files = {
        "json/crowdpose_trainval.json": ["1.png", "2.png"],
        "json/crowdpose_train.json": ["1.png"],
        "json/crowdpose_test.json": ["3.png"],
    }
    images = [f"images/{i}.png" for i in (1, 2, 3)]
    folder = _layout(tmp_path / "crowdpose", files, images)
    code, out, _ = run(capfd, "check", folder, "--strict", "--json")
    document = json.loads(out)
    assert (code, document["layout"]) == (0, "crowdpose")
    assert list(document["splits"]) == ["trainval", "train", "test"]
    assert {s["skeleton"] for s in document["splits"].values()} == {"crowdpose-14"}
    assert document["missing"] == document["overlaps"] == []
    (folder / "json" / "crowdpose_test.json").unlink()
    code, _, err = run(capfd, "check", folder, "--strict")
    assert code == 2
    assert "crowdpose_test.json: expected the labels of test, got none" in err


def test_label_files_beside_images_are_a_layout_too(tmp_path, capfd):
    files = {"train.json": ["1.png"], "val.json": ["2.png"]}
    folder = _layout(tmp_path / "mine", files, ["images/1.png", "images/2.png"])
    (folder / "notes.json").write_text("{}")
    code, out, err = run(capfd, "check", folder)
    assert code == 0
    assert "simple layout" in out
    assert f"{folder / 'notes.json'}: images: expected a list, got no such field" in err
    code, _, err = run(capfd, "check", folder, "--strict")
    assert code == 2


def test_a_missing_folder_of_images_is_found_where_it_should_be(tmp_path, capfd):
    folder = _layout(tmp_path / "mine", {"train.json": ["1.png"]}, [])
    code, out, err = run(capfd, "check", folder, "--json")
    assert (code, out) == (2, "")
    assert f"{folder / 'images'}: expected the images of train, got none" in err


def test_a_folder_of_nothing_known_says_what_is_looked_for(tmp_path, capfd):
    code, out, err = run(capfd, "check", tmp_path)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    for expected in ("annotations/person_keypoints_train2017.json", "json/crowdpose_test.json"):
        assert expected in line


def test_a_label_file_needs_its_images_and_a_folder_has_its_own(tmp_path, capfd, labelled):
    file = labelled()[1]
    code, _, err = run(capfd, "check", file)
    assert code == 2
    assert f"--images: expected the folder of the images of {file}, got none" in err
    code, _, err = run(capfd, "check", tmp_path, "--images", tmp_path)
    assert code == 2
    assert f"--images: expected none with the folder {tmp_path}" in err


@pytest.fixture
def split(tmp_path):
    """Arguments of ``data crowd`` for pictures of standing people."""
    folder = tmp_path / "split"
    folder.mkdir()
    images = write_photographs(folder)
    (tmp_path / "split.json").write_text(json.dumps(to_coco(images, COCO_17)))
    return ["crowd", "--labels", tmp_path / "split.json", "--images", folder]


def test_crowd_writes_scenes_that_the_reader_takes_whole(split, capfd, tmp_path):
    out = tmp_path / "crowd"
    code, text, err = run(
        capfd, *split, "--out", out, "--count", 6, "--people", 2, 4, "--seed", 1, "--json"
    )
    document = json.loads(text)
    assert (code, document["images"], document["seed"]) == (0, 6, 1), err
    assert "6/6" in err
    labels = read_labels(out / "labels.json", COCO_17)
    assert labels.rejected == document["rejected"] == []
    assert labels.people == document["people"]
    found = [crowd_subset(image.crowd_index) for image in labels.images]
    assert document["subsets"] == {n: found.count(n) for n in ("easy", "medium", "hard")}
    for image in labels.images:
        assert image.crowd_index == pytest.approx(crowd_index(image))
        picture = read_image(out / "images" / image.file_name)
        assert picture.shape[:2] == (image.height, image.width)


def test_crowd_of_the_same_seed_is_the_same_files(split, capfd, tmp_path):
    for name in ("a", "b"):
        code, _, err = run(capfd, *split, "--out", tmp_path / name, "--count", 2)
        assert code == 0, err
    files = [file.relative_to(tmp_path / "a") for file in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 3
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_crowd_prints_how_many_scenes_are_of_which_subset(split, capfd, tmp_path):
    code, out, _ = run(capfd, *split, "--out", tmp_path / "crowd", "--count", 1)
    assert code == 0
    assert "labels.json: 1 images, " in out
    assert any(f"1 {name}" in out for name in ("easy", "medium", "hard"))


CROWD_MISTAKES = {
    "people turned round": (
        ["--people", 5, 4],
        "--people: expected a least and a most from 1 to 15, got 5 4",
    ),
    "too many people": (["--people", 1, 16], "got 1 16"),
    "nobody": (["--people", 0, 3], "got 0 3"),
    "no such folder": (["--images", "nowhere"], "images nowhere: expected a folder, got none"),
    "no such labels": (["--labels", "none.json"], "none.json: expected a label file, got none"),
}


@pytest.mark.parametrize("case", CROWD_MISTAKES)
def test_crowd_says_what_is_wrong_in_one_line_and_writes_nothing(case, split, capfd, tmp_path):
    arguments, reason = CROWD_MISTAKES[case]
    out = tmp_path / "crowd"
    code, text, err = run(capfd, *split, "--out", out, "--count", 1, *arguments)
    assert (code, text) == (2, "")
    assert reason in err
    assert len(err.splitlines()) == 1
    assert not out.exists()


def test_crowd_lists_label_entries_that_cannot_be_used(split, capfd, tmp_path):
    file = split[2]
    document = json.loads(file.read_text())
    document["annotations"][0]["keypoints"] = [1]
    file.write_text(json.dumps(document))
    code, out, err = run(capfd, *split, "--out", tmp_path / "new", "--count", 1, "--json")
    assert code == 0
    assert len(json.loads(out)["rejected"]) == 1
    assert "not used: " in err


def test_crowd_names_a_photograph_that_cannot_be_read(split, capfd, tmp_path):
    for file in split[4].iterdir():
        file.write_bytes(b"")
    code, _, err = run(capfd, *split, "--out", tmp_path / "new", "--count", 1)
    assert code == 2
    assert ".png: expected a picture" in err
    assert not (tmp_path / "new").exists()

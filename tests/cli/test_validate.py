"""``erpose-edge validate``: what goes to stdout, what to stderr, and the exit code."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from erpose_edge.cli.app import main
from erpose_edge.metrics.labels import read_labels
from erpose_edge.runtime.poses import Poses
from erpose_edge.schemas import load_schema
from erpose_edge.skeleton import COCO_17, CROWDPOSE_14
from erpose_edge.validate.accuracy import SCORE_THRESHOLD

KEYPOINTS = np.linspace(5, 60, 34).reshape(17, 2)


class OnePerson:
    """Sees the person of `labels` in every picture."""

    skeleton = COCO_17
    score_threshold = 0.3
    contract = SimpleNamespace(input_size=(64, 64))

    def __call__(self, frame):
        return Poses(
            np.array([0.9], np.float32),
            KEYPOINTS[None].astype(np.float32),
            np.ones((1, 17), np.float32),
        )


class Blind(OnePerson):
    """Sees nobody in every second picture."""

    def __init__(self):
        self.seen = 0

    def __call__(self, frame):
        self.seen += 1
        return Poses.nobody(17) if self.seen % 2 == 0 else super().__call__(frame)


@pytest.fixture
def opened(monkeypatch):
    """What the command asked for; every source but ``fp32`` opens as ``estimator``."""
    asked = SimpleNamespace(
        estimator=OnePerson(), reference=OnePerson(), source=None, options=None, against=None
    )

    def open_estimator(source, precision=None, input_size=None):
        if source == "fp32":
            asked.against = (precision, input_size)
            return asked.reference
        asked.source, asked.options = source, (precision, input_size)
        return asked.estimator

    monkeypatch.setattr("erpose_edge.deploy.default.open_estimator", open_estimator)
    return asked


def entry(annotation_id, keypoints=None):
    points = np.c_[KEYPOINTS, np.full(17, 2)].ravel().tolist()
    return {
        "id": annotation_id,
        "image_id": annotation_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [5, 5, 55, 55],
        "area": 1600,
        "num_keypoints": 17,
        "keypoints": points if keypoints is None else keypoints,
    }


@pytest.fixture
def data(tmp_path):
    """Three images; a function changes the label document before it is written."""
    for image_id in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{image_id}.png"), np.zeros((64, 80, 3), np.uint8))
    document = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 80, "height": 64} for i in (1, 2, 3)
        ],
        "annotations": [entry(1), entry(2), entry(3)],
    }

    def arguments(change=lambda document: None):
        change(document)
        (tmp_path / "labels.json").write_text(json.dumps(document))
        return ["--data", str(tmp_path / "labels.json"), "--images", str(tmp_path)]

    return arguments


def run(capfd, *arguments):
    code = main(["validate", *arguments])
    return code, *capfd.readouterr()


def test_json_is_the_only_thing_on_stdout_and_keeps_to_the_schema(opened, data, capfd):
    code, out, err = run(capfd, "weights.safetensors", *data(), "--json")
    document = json.loads(out)
    assert code == 0
    assert document["ap"] == pytest.approx(1)
    assert (document["images"], document["people"], document["rejected"]) == (3, 3, 0)
    assert "3/3" in err
    assert set(load_schema("validate")["properties"]) <= set(document)
    assert opened.source == "weights.safetensors"
    assert opened.estimator.score_threshold == SCORE_THRESHOLD


def test_the_table_shows_every_statistic(opened, data, capfd):
    code, out, _ = run(capfd, "artifact", *data())
    assert code == 0
    for text in ("AP50", "AP medium", "AR", "left shoulder", "1.000", "3 images, 3 people"):
        assert text in out


def crowd_indices(*indices):
    def change(document):
        for image, index in zip(document["images"], indices, strict=True):
            image["crowdIndex"] = index

    return change


def test_images_with_a_crowd_index_are_measured_by_subset(opened, data, capfd):
    arguments = data(crowd_indices(0.1, 0.2, 0.79))
    _, out, _ = run(capfd, "artifact", *arguments, "--json")
    document = json.loads(out)
    subsets = [document[f"ap_crowd_{name}"] for name in ("easy", "medium", "hard")]
    assert subsets == [pytest.approx(1), pytest.approx(1), None]
    _, out, _ = run(capfd, "artifact", *arguments)
    assert "AP crowd easy" in out
    assert "AP crowd medium" in out
    assert "AP crowd hard" not in out


def test_images_without_one_have_no_subsets(opened, data, capfd):
    _, out, _ = run(capfd, "artifact", *data(), "--json")
    document = json.loads(out)
    assert [document[f"ap_crowd_{name}"] for name in ("easy", "medium", "hard")] == [None] * 3
    _, out, _ = run(capfd, "artifact", *data())
    assert "crowd" not in out


def test_a_label_and_an_image_that_cannot_be_used_are_listed_and_the_run_goes_on(
    opened, data, capfd, tmp_path
):
    arguments = data(lambda d: d["annotations"].append(entry(4, [1.0, 2.0, 2] * 16)))
    (tmp_path / "2.png").unlink()
    (tmp_path / "3.png").write_bytes(b"")
    code, out, err = run(capfd, "artifact", *arguments, "--json")
    document = json.loads(out)
    assert (code, document["images"], document["rejected"]) == (0, 1, 3)
    assert document["rejected_entries"][0].endswith(
        "labels.json: annotation 4: keypoints: expected 51 numbers (17 keypoints), "
        "got 48 (16 keypoints)"
    )
    assert err.count("not used: ") == 3
    assert f"{tmp_path / '2.png'}: image 2: " in err


def test_strict_makes_them_a_failure(opened, data, capfd, tmp_path):
    arguments = data()
    (tmp_path / "2.png").unlink()
    code, out, err = run(capfd, "artifact", *arguments, "--strict", "--json")
    assert (code, out) == (2, "")
    assert "1 unusable in all, and --strict was given" in err


BAD = {
    "16 keypoints": (
        lambda d: d.update(annotations=[entry(1, [1.0, 2.0, 2] * 16)]),
        "annotation 1: keypoints: expected 51 numbers (17 keypoints), got 48 (16 keypoints)",
    ),
    "NaN": (
        lambda d: d.update(annotations=[entry(1, [float("nan"), 2.0, 2] * 17)]),
        "annotation 1: keypoints[0]: expected a finite number, got nan",
    ),
    "nobody": (lambda d: d.update(annotations=[]), "labels.json: annotations: expected a list"),
    "no images": (lambda d: d.update(images=None), "labels.json: images: expected a list"),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_labels_are_one_line_and_exit_2(case, opened, data, capfd):
    change, reason = BAD[case]
    code, out, err = run(capfd, "artifact", *data(change), "--json")
    assert (code, out) == (2, "")
    assert reason in err
    assert len(err.splitlines()) == 1


def test_an_empty_and_a_missing_label_file_are_one_line_and_exit_2(opened, capfd, tmp_path):
    (tmp_path / "empty.json").touch()
    for name, reason in (("empty.json", "got an empty file"), ("none.json", "got none; check")):
        labels = tmp_path / name
        code, out, err = run(
            capfd, "artifact", "--data", str(labels), "--images", str(tmp_path), "--json"
        )
        assert (code, out) == (2, "")
        assert str(labels) in err
        assert reason in err
        assert len(err.splitlines()) == 1


def test_a_missing_folder_of_images_is_exit_2(opened, data, capfd, tmp_path):
    arguments = [*data()[:2], "--images", str(tmp_path / "none")]
    code, _, err = run(capfd, "artifact", *arguments)
    assert code == 2
    assert "none: expected a folder" in err


def test_data_and_images_belong_together(opened, data, capfd):
    code, _, err = run(capfd, "artifact", *data()[:2])
    assert code == 2
    assert "--images: expected beside --data, got none" in err


def test_the_precision_is_passed_on_only_when_given(opened, data, capfd):
    run(capfd, "artifact", *data())
    assert opened.options == (None, None)
    run(capfd, "artifact", *data(), "--precision", "int8", "--input-size", "96", "64")
    assert opened.options == ("int8", (96, 64))


@pytest.mark.parametrize("size", [("100", "64"), ("32", "64"), ("64", "4096")])
def test_an_input_size_that_no_network_has_is_refused(opened, data, capfd, size):
    code, out, err = run(capfd, "artifact", *data(), "--input-size", *size)
    assert (code, out) == (2, "")
    assert "--input-size: expected multiples of 32" in err


def test_poses_are_saved_so_that_pycocotools_finds_the_same_ap(opened, data, capfd, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    saved = tmp_path / "out" / "poses.json"
    arguments = data(lambda d: d.update(categories=[{"id": 1, "name": "person"}]))
    _, out, _ = run(capfd, "a", *arguments, "--json", "--save-poses", str(saved))
    truth = coco.COCO(arguments[1])
    evaluation = cocoeval.COCOeval(truth, truth.loadRes(str(saved)), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert json.loads(out)["ap"] == pytest.approx(evaluation.stats[0], abs=1e-6)


def test_without_data_it_validates_on_generated_people(opened, capfd):
    pytest.importorskip("erpose_edge.data.generated.people")
    code, out, _ = run(capfd, "weights.safetensors", "--count", "2", "--seed", "5", "--json")
    document = json.loads(out)
    assert (code, document["images"]) == (0, 2)
    assert document["data"] == "2 generated scenes of seed 5"


def test_generated_people_do_not_fit_every_skeleton(opened, capfd):
    opened.estimator.skeleton = CROWDPOSE_14
    code, _, err = run(capfd, "weights.safetensors")
    assert code == 2
    assert "--data: expected labels of crowdpose-14" in err


def test_the_label_document_of_these_tests_is_read_whole(data):
    assert read_labels(data()[1]).rejected == []


def test_against_a_reference_it_says_what_is_left_with_its_interval(opened, data, capfd):
    opened.estimator = Blind()
    code, out, _ = run(capfd, "int8", *data(), "--against", "fp32", "--json")
    document = json.loads(out)
    assert code == 0
    against = document["against"]
    assert (against["name"], against["ap"]) == ("fp32", pytest.approx(1))
    kept = against["retention"]["ap"]
    assert kept["value"] == pytest.approx(document["ap"]) == pytest.approx(2 / 3, abs=0.01)
    assert kept["low"] < kept["value"] < kept["high"]
    assert against["difference"]["ap"]["value"] == pytest.approx(-1 / 3, abs=0.01)
    assert against["per_keypoint_ap"]["nose"] == pytest.approx(1)
    schema = load_schema("validate")
    pytest.importorskip("jsonschema").validate(document, schema)
    # Weights are opened in fp32, at the size of what they are compared with.
    assert opened.against == ("fp32", (64, 64))
    assert opened.reference.score_threshold == SCORE_THRESHOLD


def test_the_table_shows_intervals_keypoints_and_retention(opened, data, capfd):
    opened.estimator = Blind()
    code, out, err = run(capfd, "int8", *data(), "--against", "fp32")
    assert code == 0
    assert "the reference: 3/3" in err
    lines = [line.strip() for line in out.splitlines()]
    shown = [line for line in lines if line.startswith("retention ")]
    assert len(shown) == 1
    assert shown[0].startswith("retention 66.")
    assert "] of fp32, AP -0.3" in shown[0]
    for text in ("95 % interval", "reference", "left wrist", "OKS of found"):
        assert text in out


def test_the_worst_images_are_listed_and_drawn_side_by_side(opened, data, capfd, tmp_path):
    opened.estimator = Blind()
    arguments = ("int8", *data(), "--against", "fp32", "--worst", "2", "--out", str(tmp_path / "w"))
    _, out, _ = run(capfd, *arguments)
    assert "image 2 (2.png): AP 1.000 -> 0.000, 1 people, 01-2.jpg" in out
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["01-2.jpg"]
    assert cv2.imread(str(tmp_path / "w" / "01-2.jpg")).shape[1] == 2 * 80 + 8


def test_without_a_reference_the_worst_are_those_of_the_lowest_ap(opened, data, capfd):
    opened.estimator = Blind()
    _, out, _ = run(capfd, "int8", *data(), "--worst", "5", "--json")
    document = json.loads(out)
    assert document["against"] is None
    (image,) = document["worst_images"]
    assert (image["image_id"], image["ap"], image["reference_ap"]) == (2, 0, None)


def test_a_folder_for_pictures_needs_a_number_of_them(opened, data, capfd, tmp_path):
    code, out, err = run(capfd, "int8", *data(), "--out", str(tmp_path))
    assert (code, out) == (2, "")
    assert "--worst: expected a number of images beside --out, got none; give both" in err


def test_a_reference_of_another_skeleton_is_refused(opened, data, capfd):
    opened.reference.skeleton = CROWDPOSE_14
    code, out, err = run(capfd, "int8", *data(), "--against", "fp32")
    assert (code, out) == (2, "")
    assert "--against: expected a network of coco-17, got one of crowdpose-14" in err


def test_a_folder_of_yolo_pose_files_gives_the_same_ap(opened, data, capfd, tmp_path):
    _, out, _ = run(capfd, "weights", *data(), "--json")
    expected = json.loads(out)
    labels = tmp_path / "yolo"
    labels.mkdir()
    points = np.c_[KEYPOINTS / (80, 64), np.full(17, 2)].ravel().tolist()
    box = [32.5 / 80, 32.5 / 64, 55 / 80, 55 / 64]
    for name in "123":
        (labels / f"{name}.txt").write_text(" ".join(map(str, [0, *box, *points])))
    (labels / "3.txt").write_text((labels / "3.txt").read_text() + "\n0 1 2\n")
    _, out, err = run(capfd, "weights", "--data", str(labels), "--images", str(tmp_path), "--json")
    document = json.loads(out)
    assert document["ap"] == expected["ap"]
    assert (document["images"], document["rejected"]) == (3, 1)
    assert "3.txt: line 2: numbers: expected 56" in err

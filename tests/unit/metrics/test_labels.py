"""The label reader: what it keeps, what it lists as unusable, what it refuses."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erpose_edge.errors import DataError
from erpose_edge.metrics.labels import read_labels, to_coco
from erpose_edge.skeleton import COCO_17, CROWDPOSE_14

NAN, INF = float("nan"), float("inf")
REMOVED = object()


def image(image_id=1, **fields):
    return {"id": image_id, "file_name": f"{image_id}.jpg", "width": 64, "height": 48, **fields}


def person(annotation_id=1, image_id=1, count=17, **fields):
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [1, 2, 30, 40],
        "area": 500.5,
        "num_keypoints": count,
        "keypoints": [10.5, 20, 2] * count,
        **fields,
    }


def document(images=None, annotations=None, **fields):
    return {
        "images": [image()] if images is None else images,
        "annotations": [person()] if annotations is None else annotations,
        **fields,
    }


@pytest.fixture
def write(tmp_path):
    def written(content):
        path = tmp_path / "labels.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return written


def changed(entry, **fields):
    """Return ``entry`` with fields set, or removed."""
    merged = {**copy.deepcopy(entry), **fields}
    return {key: value for key, value in merged.items() if value is not REMOVED}


def test_a_person_is_read_as_written(write):
    labels = read_labels(write(document()))
    (only,) = labels.images
    assert (only.image_id, only.file_name, only.width, only.height) == (1, "1.jpg", 64, 48)
    assert only.keypoints.shape == (1, 17, 3)
    assert only.keypoints.dtype == np.float32
    assert only.keypoints[0, 3].tolist() == [10.5, 20, 2]
    assert only.boxes.tolist() == [[1, 2, 30, 40]]
    assert only.areas.tolist() == [500.5]
    assert only.annotation_ids.tolist() == [1]
    assert (labels.skeleton, labels.rejected, labels.people) == (COCO_17, [], 1)


def test_an_image_without_people_stays(write):
    labels = read_labels(write(document(images=[image(1), image(2)])))
    assert [len(i) for i in labels.images] == [1, 0]
    assert labels.images[1].keypoints.shape == (0, 17, 3)
    assert labels.images[1].boxes.shape == (0, 4)


def test_crowds_keypointless_and_marked_people_are_ignored_and_keep_their_box(write):
    people = [
        person(1),
        person(2, iscrowd=1, num_keypoints=0, keypoints=[0] * 51),
        person(3, num_keypoints=0, keypoints=[0] * 51),
        person(4, ignore=1),
        person(5, num_keypoints=0),
    ]
    (only,) = read_labels(write(document(annotations=people))).images
    assert only.ignore.tolist() == [False, True, True, True, True]
    assert only.crowd.tolist() == [False, True, False, False, False]
    assert len(only.boxes) == 5


def test_area_is_taken_from_the_box_where_the_file_has_none(write):
    labels = read_labels(write(document(annotations=[changed(person(), area=REMOVED)])))
    assert labels.images[0].areas[0] == pytest.approx(0.53 * 30 * 40)


def test_crowdpose_is_known_by_its_fourteen_keypoints(write):
    labels = read_labels(
        write(
            document(
                images=[image(crowdIndex=0.35)],
                annotations=[changed(person(count=14), area=REMOVED)],
            )
        )
    )
    assert labels.skeleton is CROWDPOSE_14
    assert labels.images[0].crowd_index == 0.35


def test_the_categories_name_the_skeleton(write):
    names = [n if n != "top_head" else "head" for n in CROWDPOSE_14.keypoints]
    categories = [{"id": 1, "name": "person", "keypoints": names}]
    file = write(document(annotations=[person(count=14)], categories=categories))
    assert read_labels(file, CROWDPOSE_14).skeleton is CROWDPOSE_14


def test_keypoints_in_another_order_are_refused(write):
    names = list(reversed(COCO_17.keypoints))
    with pytest.raises(DataError, match=r"labels\.json: categories\.keypoints: expected the names"):
        read_labels(write(document(categories=[{"id": 1, "keypoints": names}])))


def test_another_skeleton_than_asked_for_is_refused(write):
    with pytest.raises(DataError, match=r"keypoints: expected crowdpose-14, got coco-17"):
        read_labels(write(document()), CROWDPOSE_14)


BAD_PEOPLE = {
    "16 keypoints": (
        {"keypoints": [1, 2, 2] * 16},
        "keypoints: expected 51 numbers (17 keypoints), got 48 (16 keypoints)",
    ),
    "50 numbers": ({"keypoints": [1] * 50}, "keypoints: expected 51 numbers"),
    "no keypoints": ({"keypoints": REMOVED}, "keypoints: expected the field, got none"),
    "null keypoints": ({"keypoints": None}, "keypoints: expected a list of numbers, got None"),
    "NaN": ({"keypoints": [1, NAN, 2] * 17}, "keypoints[1]: expected a finite number, got nan"),
    "infinite": ({"keypoints": [INF, 1, 2] * 17}, "keypoints[0]: expected a finite number"),
    "text": ({"keypoints": ["1", 1, 2] * 17}, "keypoints[0]: expected a finite number, got '1'"),
    "true": ({"keypoints": [True, 1, 2] * 17}, "keypoints[0]: expected a finite number, got True"),
    "far": ({"keypoints": [1e9, 1, 2] * 17}, "keypoints[0]: expected a finite number"),
    "huge": ({"keypoints": [10**400, 1, 2] * 17}, "got an integer of more than 64 bits"),
    "flag 3": ({"keypoints": [1, 1, 3] * 17}, "keypoints[2]: expected flag 0, 1 or 2, got 3"),
    "flag 0.5": ({"keypoints": [1, 1, 0.5] * 17}, "keypoints[2]: expected flag 0, 1 or 2"),
    "no box": ({"bbox": REMOVED}, "bbox: expected the field, got none"),
    "zero box": ({"bbox": [0, 0, 0, 5]}, "bbox: expected a positive width and height, got 0 x 5"),
    "negative box": ({"bbox": [0, 0, 4, -5]}, "bbox: expected a positive width and height"),
    "NaN box": ({"bbox": [0, 0, NAN, 5]}, "bbox[2]: expected a finite number, got nan"),
    "short box": ({"bbox": [0, 0, 4]}, "bbox: expected [x, y, width, height], got a list of 3"),
    "zero area": ({"area": 0}, "area: expected a positive number, got 0"),
    "NaN area": ({"area": NAN}, "area: expected a positive number, got nan"),
    "text area": ({"area": "9"}, "area: expected a positive number, got '9'"),
    "no id": ({"id": REMOVED}, "id: expected the field, got none"),
    "text id": ({"id": "7"}, "id: expected an integer, got '7'"),
    "no image": ({"image_id": REMOVED}, "image_id: expected the field, got none"),
    "unknown image": ({"image_id": 99}, "image_id: expected a usable image, got 99"),
    "same id": ({"id": 1}, "id: expected one annotation of it, got 1"),
    "crowd of 2": ({"iscrowd": 2}, "iscrowd: expected 0 or 1, got 2"),
    "text ignore": ({"ignore": "yes"}, "ignore: expected 0 or 1, got 'yes'"),
    "18 labelled": ({"num_keypoints": 18}, "num_keypoints: expected a whole number from 0 to 17"),
}


@pytest.mark.parametrize("case", BAD_PEOPLE)
def test_an_unusable_person_is_listed_and_the_rest_is_read(case, write):
    fields, reason = BAD_PEOPLE[case]
    file = write(document(annotations=[person(1), changed(person(2), **fields)]))
    labels = read_labels(file)
    assert labels.people == 1
    (rejected,) = labels.rejected
    assert reason in rejected.reason
    assert str(rejected).startswith(f"{file}: annotation ")
    assert "\n" not in str(rejected)


def test_a_rejected_person_is_named_by_its_id(write):
    bad = person(77, count=16)
    (rejected,) = read_labels(write(document(annotations=[person(1), bad]))).rejected
    assert rejected.entry == "annotation 77"


@pytest.mark.parametrize("case", [c for c in BAD_PEOPLE if c != "same id"])
def test_a_file_of_nothing_but_unusable_people_is_an_error_with_the_first_reason(case, write):
    fields, reason = BAD_PEOPLE[case]
    with pytest.raises(DataError) as error:
        read_labels(write(document(annotations=[changed(person(2), **fields)])), COCO_17)
    assert reason in str(error.value)
    assert "labels.json: annotations: expected at least one usable entry" in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


BAD_IMAGES = {
    "no id": ({"id": REMOVED}, "id: expected the field, got none"),
    "true id": ({"id": True}, "id: expected an integer, got True"),
    "huge id": ({"id": 2**70}, "id: expected an integer"),
    "no name": ({"file_name": REMOVED}, "file_name: expected the field"),
    "empty name": ({"file_name": ""}, "file_name: expected a printable file name, got ''"),
    "NUL in name": ({"file_name": "a\0b"}, "file_name: expected a printable file name"),
    "half a letter": ({"file_name": "\ud800"}, "file_name: expected a printable file name"),
    "no width": ({"width": REMOVED}, "width: expected the field"),
    "zero height": ({"height": 0}, "height: expected a whole number of pixels from 1, got 0"),
    "half a pixel": ({"width": 1.5}, "width: expected a whole number of pixels"),
    "crowd index": ({"crowdIndex": "x"}, "crowdIndex: expected a number of at least 0, got 'x'"),
    "same id": ({"id": 1}, "id: expected one image of this id, got 1 again"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_an_unusable_image_is_listed_and_the_rest_is_read(case, write):
    fields, reason = BAD_IMAGES[case]
    labels = read_labels(write(document(images=[image(1), changed(image(2), **fields)])))
    assert [i.image_id for i in labels.images] == [1]
    assert reason in labels.rejected[0].reason


def test_people_of_a_rejected_image_are_rejected(write):
    file = document(
        images=[image(1), image(2, width=0)], annotations=[person(1), person(2, image_id=2)]
    )
    assert [r.entry for r in read_labels(write(file)).rejected] == ["image 2", "annotation 2"]


def test_an_annotation_of_another_category_is_listed(write):
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}]
    people = [person(1), person(2, category_id=3)]
    labels = read_labels(write(document(annotations=people, categories=categories)))
    assert labels.rejected[0].reason == "category_id: expected 1, got 3"


BAD_FILES = {
    "empty file": ("", "expected COCO-format JSON, got an empty file"),
    "not JSON": ("{'a': 1}", "expected COCO-format JSON, got Expecting property name"),
    "half a file": ('{"images": [{"id": 1', "expected COCO-format JSON, got"),
    "deep": ("[" * 100_000, "expected COCO-format JSON, got"),
    "a list": ([], "expected a JSON object, got a list of 0"),
    "no images": ({"annotations": [person()]}, "images: expected a list, got no such field"),
    "no annotations": ({"images": [image()]}, "annotations: expected a list, got no such field"),
    "nobody": (document(annotations=[]), "annotations: expected a list of entries, got an empty"),
    "null": (document() | {"images": None}, "images: expected a list of entries, got"),
    "numbers": (document(annotations=[1, 2]), "entry: expected an object, got 1"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_an_unusable_file_is_one_line_that_names_it(case, write):
    content, reason = BAD_FILES[case]
    file = write(content)
    with pytest.raises(DataError) as error:
        read_labels(file)
    assert str(error.value).startswith(f"{file}: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: expected a label file, got none; check"):
        read_labels(tmp_path / "none.json")
    with pytest.raises(DataError, match="expected a readable label file"):
        read_labels(tmp_path)


def test_bytes_that_are_no_text_are_an_error(tmp_path):
    (tmp_path / "labels.json").write_bytes(b"\xff\xfe\x00{}\x80")
    with pytest.raises(DataError, match="expected COCO-format JSON"):
        read_labels(tmp_path / "labels.json")


def test_what_is_written_is_read_again(write):
    people = [
        person(1),
        person(4, iscrowd=1, ignore=0),
        person(9, ignore=1),
        person(3, num_keypoints=0, keypoints=[0] * 51),
        person(5, image_id=2, bbox=[0.1, 0.2, 3.3, 4.4], area=1 / 3),
    ]
    file = document(images=[image(1), image(2, crowdIndex=0.5), image(3)], annotations=people)
    before = read_labels(write(file))
    after = read_labels(write(to_coco(before.images, before.skeleton)))
    assert after.skeleton is before.skeleton
    assert not after.rejected
    for one, other in zip(before.images, after.images, strict=True):
        assert vars(one).keys() == vars(other).keys()
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
# Mostly sound values, so that an entry gets past its first check.
odd_people = st.fixed_dictionaries(
    {},
    optional={
        name: st.just(value) | st.just(value) | json_values
        for name, value in person(ignore=0).items()
    },
)
odd_images = st.fixed_dictionaries(
    {}, optional={name: st.just(value) | json_values for name, value in image().items()}
)
odd_documents = json_values | st.fixed_dictionaries(
    {
        "images": st.lists(odd_images | json_values, max_size=3) | json_values,
        "annotations": st.lists(odd_people | json_values, max_size=4) | json_values,
    },
    optional={
        "categories": json_values
        | st.lists(st.dictionaries(st.sampled_from(["id", "keypoints"]), json_values), max_size=2)
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=odd_documents)
def test_no_json_does_more_than_raise_a_data_error(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "odd.json"
    path.write_text(json.dumps(content))
    try:
        labels = read_labels(path)
    except DataError as error:
        assert "\n" not in str(error)
        str(error).encode()
        return
    assert labels.images
    for read in labels.images:
        assert np.isfinite(read.keypoints).all()
        assert (read.boxes[:, 2:] > 0).all()
        assert (read.areas > 0).all()


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_no_bytes_do_more_than_raise_a_data_error(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "odd.json"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_labels(path)


def test_real_label_files_are_read_whole():
    folder = os.environ.get("ERPOSE_DATA")
    if folder is None:
        pytest.skip("ERPOSE_DATA names no folder of label files")
    files = sorted(Path(folder).glob("*/*.json"))
    assert files
    for file in files:
        labels = read_labels(file)
        assert labels.people > 0, file
        assert not labels.rejected, file

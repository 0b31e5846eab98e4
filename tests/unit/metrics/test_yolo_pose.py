"""YOLO-pose text files: the same people as in COCO's layout, and a line for every mistake."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erpose_edge.errors import DataError
from erpose_edge.metrics.label_entries import EntryError
from erpose_edge.metrics.yolo_pose import parse_person, read_yolo_pose
from erpose_edge.skeleton import COCO_17, CROWDPOSE_14

HEIGHT, WIDTH = 50, 200
PART = st.floats(0, 1, allow_subnormal=False)


def line(keypoints=17, box="0.5 0.5 0.25 0.5", point="0.1 0.2 2", kind="0"):
    return " ".join([kind, box, *[point] * keypoints])


@pytest.fixture
def layout(tmp_path):
    """Write pictures and label files; ``None`` writes a picture without a file."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()

    def write(**texts):
        for name, text in texts.items():
            picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), picture)
            if text is not None:
                (tmp_path / "labels" / f"{name}.txt").write_text(text)
        return tmp_path / "labels", tmp_path / "images"

    return write


def test_a_person_is_read_in_pixels_of_its_picture(layout):
    labels = read_yolo_pose(*layout(a=line() + "\n"))
    (image,) = labels.images
    assert (image.image_id, image.file_name, image.width, image.height) == (1, "a.png", 200, 50)
    assert image.boxes.tolist() == [[75, 12.5, 50, 25]]
    assert image.keypoints[0, 5].tolist() == [20, 10, 2]
    assert image.areas.tolist() == [0.53 * 50 * 25]
    assert (image.ignore.tolist(), image.annotation_ids.tolist()) == ([False], [1])
    assert (labels.skeleton, labels.rejected, labels.people) == (COCO_17, [], 1)


def test_fourteen_keypoints_are_crowdpose(layout):
    assert read_yolo_pose(*layout(a=line(14))).skeleton is CROWDPOSE_14


def test_without_flags_a_keypoint_at_the_origin_or_below_is_unlabelled(layout):
    points = ["0 0", "-1 0.5", "0 0.5", *["0.5 0.5"] * 14]
    (image,) = read_yolo_pose(*layout(a=" ".join(["0 .5 .5 .2 .2", *points]))).images
    assert image.keypoints[0, :4, 2].tolist() == [0, 0, 2, 2]
    assert image.keypoints[0, 1].tolist() == [0, 0, 0]


def test_a_person_without_a_labelled_keypoint_is_ignored(layout):
    text = line() + "\n" + line(point="0 0 0")
    (image,) = read_yolo_pose(*layout(a=text)).images
    assert image.ignore.tolist() == [False, True]


def test_pictures_without_a_file_or_with_an_empty_one_show_nobody(layout):
    labels = read_yolo_pose(*layout(a=line(), b=None, c="\n \n"))
    assert [len(image) for image in labels.images] == [1, 0, 0]
    assert labels.images[1].keypoints.shape == (0, 17, 3)
    assert labels.images[1].boxes.shape == (0, 4)


def test_folders_below_are_read_too(layout, tmp_path):
    folders = layout(a=line())
    for folder in folders:
        (folder / "deep").mkdir()
    (tmp_path / "images/a.png").rename(tmp_path / "images/deep/b.png")
    (tmp_path / "labels/a.txt").rename(tmp_path / "labels/deep/b.txt")
    assert read_yolo_pose(*folders).images[0].file_name == "deep/b.png"


BAD_LINES = {
    "short": (line(16), "numbers: expected 56 (class, box and x y v of 17 keypoints) or 39 (x y)"),
    "a word": (line(point="0.1 0.2 two"), "number 8: expected a finite number, got 'two'"),
    "NaN": (line(point="nan 0.2 2"), "number 6: expected a finite number, got 'nan'"),
    "a car": (line(kind="2"), "class: expected 0 for a person, got '2'"),
    "pixels": (line(box="75 12 50 25"), "cx: expected a part of the picture in [0, 1], got 75"),
    "keypoints in pixels": (
        line(point="20 10 2"),
        "keypoint 0: expected x and y in parts of the picture in [0, 1], got 20 10; pixels",
    ),
    "no width": (line(box="0.5 0.5 0 0.5"), "box: expected a positive size, got 0 x 0.5"),
    "flag 3": (line(point="0.1 0.2 3"), "keypoint 0: expected flag 0, 1 or 2, got 3"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_listed_with_file_and_line_and_the_rest_is_read(case, layout):
    bad, reason = BAD_LINES[case]
    labels = read_yolo_pose(*layout(a=f"{line()}\n\n{bad}\n{line()}\n"))
    assert labels.people == 2
    (entry,) = labels.rejected
    assert entry.file.endswith("labels/a.txt")
    assert entry.entry == "line 3"
    assert entry.reason.startswith(reason)


def test_a_text_file_without_a_picture_is_listed(layout, tmp_path):
    folders = layout(a=line())
    (tmp_path / "labels/b.txt").write_text(line())
    (entry,) = read_yolo_pose(*folders).rejected
    assert "b.txt: picture: file: expected a picture of this name in" in str(entry)


def test_bytes_that_are_no_text_and_pictures_that_are_none_are_listed(layout, tmp_path):
    folders = layout(a=line(), b=line(), c=line())
    (tmp_path / "labels/b.txt").write_bytes(b"\xff\xfe0")
    (tmp_path / "images/c.png").write_bytes(b"none")
    labels = read_yolo_pose(*folders)
    assert [len(image) for image in labels.images] == [1, 0]
    assert [entry.entry for entry in labels.rejected] == ["file", "image 3"]
    assert "text: expected UTF-8" in labels.rejected[0].reason


def test_folders_that_are_missing_or_hold_nothing_are_refused(layout, tmp_path):
    labels, images = layout(a="")
    with pytest.raises(DataError, match=r"expected YOLO-pose labels of people, got none usable$"):
        read_yolo_pose(labels, images)
    (tmp_path / "labels/a.txt").write_text("0 1 2")
    with pytest.raises(DataError, match=r"got none usable; the first: .*a\.txt: line 1: numbers"):
        read_yolo_pose(labels, images)
    with pytest.raises(DataError, match=r"labels .*none: expected a folder, got none; check"):
        read_yolo_pose(tmp_path / "none", images)
    (tmp_path / "images/a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png: expected one file of this name, got a\.jpg too"):
        read_yolo_pose(labels, images)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(PART, PART, st.sampled_from([0, 1, 2])), min_size=17, max_size=17),
    st.tuples(PART, PART, st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_what_is_written_is_read_back(points, box):
    words = ["0", *map(repr, box), *(f"{x!r} {y!r} {v}" for x, y, v in points)]
    found_box, found = parse_person(" ".join(words), 17)
    assert found_box.tolist() == list(box)
    labelled = [list(map(float, p)) if p[2] else [0, 0, 0] for p in points]
    assert found.tolist() == labelled


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(st.sampled_from(["0", "0.5", "-1", "1e400", "nan", "x", "2"]), max_size=60).map(
            " ".join
        ),
    )
)
def test_no_line_does_more_than_raise_an_entry_error(text):
    try:
        box, points = parse_person(text, 17)
    except EntryError as error:
        assert ": expected " in str(error)
        assert "\n" not in str(error)
    else:
        assert np.isfinite(box).all()
        assert np.isfinite(points).all()
        assert set(points[:, 2]) <= {0, 1, 2}

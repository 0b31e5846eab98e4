"""Composited crowds: who is cut out, where people go, and what happens to their labels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standing_people import POSE, SIZE, body, picture, standing, write_photographs

from erpose_edge.data.crowd_plan import Place, plan_crowd
from erpose_edge.data.crowds import CrowdScenes, _ignore_hidden
from erpose_edge.data.cutouts import Candidate, candidates, cut_out, is_grey
from erpose_edge.data.pasting import put_in_front
from erpose_edge.data.sample import HIDDEN, UNLABELLED, VISIBLE, sample_of
from erpose_edge.data.sources import Photographs
from erpose_edge.errors import DataError
from erpose_edge.metrics.crowd_index import crowd_index, crowd_subset, crowding
from erpose_edge.skeleton import COCO_17


@pytest.fixture
def photographs(tmp_path):
    return Photographs(write_photographs(tmp_path), tmp_path, [])


def test_who_stands_free_and_whole_may_be_cut_out():
    labels = standing((80, 220, 130), (240, 200, 110))
    (first, second) = candidates([labels], COCO_17)
    assert (first.image, first.person, first.free) == (0, 0, True)
    assert first.chest == pytest.approx((80, 220 - 0.8 * 130))
    assert first.torso == pytest.approx(0.3 * 130, rel=1e-5)
    assert second.person == 1


def _without(keypoint, flag=UNLABELLED):
    def change(points):
        points[keypoint, 2] = flag

    return change


def _turned(points):
    points[:, :2] = points[:, 1::-1] + (250, 100)


def _sitting(points):
    points[13:, 1] = points[11, 1] + np.array([2, 3, 4, 5])


def _headless(points):
    points[:5, 2] = UNLABELLED


UNFIT = {
    "no shoulder": _without(5),
    "no ankle": _without(15),
    "a covered knee": _without(13, HIDDEN),
    "lies": _turned,
    "sits": _sitting,
    "no head": _headless,
}


@pytest.mark.parametrize("case", UNFIT)
def test_who_is_not_seen_from_head_to_feet_is_left_where_they_are(case):
    labels = standing((80, 220, 130))
    assert len(candidates([labels], COCO_17)) == 1
    UNFIT[case](labels.keypoints[0])
    assert candidates([labels], COCO_17) == []


def test_who_is_small_or_ignored_is_no_candidate():
    assert candidates([standing((80, 220, 60))], COCO_17) == []
    labels = standing((80, 220, 130))
    assert candidates([replace(labels, ignore=np.array([True]))], COCO_17) == []


def test_who_stands_among_others_is_not_free():
    labels = standing((80, 220, 130), (100, 220, 130))
    assert [candidate.free for candidate in candidates([labels], COCO_17)] == [False, False]


def test_a_cutout_is_the_person_and_little_else():
    labels = standing((80, 220, 130), (240, 200, 110))
    cutout = cut_out(sample_of(picture(labels), labels, complete=False), 0, COCO_17)
    x, y = (cutout.sample.keypoints[0] - labels.keypoints[0, :, :2]).mean(0).round().astype(int)
    height, width = cutout.mask.shape
    truth = body(labels, 0)[-y : height - y, -x : width - x]
    found = cutout.mask > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.85
    points = cutout.sample.keypoints[0].round().astype(int)
    assert found[points[:, 1], points[:, 0]].mean() > 0.9
    assert len(cutout.sample.flags) == 1


def test_a_cutout_does_not_depend_on_what_was_cut_before():
    labels = standing((80, 220, 130), (240, 200, 110))
    noise = np.random.default_rng(0).integers(0, 120, (*SIZE, 3))  # many clusters are as good
    image = (picture(labels) // 2 + noise).astype(np.uint8)
    sample = sample_of(image, labels, complete=False)
    first = cut_out(sample, 0, COCO_17)
    for seed in range(1, 6):
        cv2.setRNGSeed(seed)
        np.testing.assert_array_equal(cut_out(sample, 0, COCO_17).mask, first.mask)


@pytest.mark.parametrize("box", [(400, 10, 40, 130), (60, -300, 40, 130), (0, 0, 1e-3, 1e-3)])
def test_a_box_outside_the_picture_gives_no_cutout(box):
    labels = standing((80, 220, 130))
    labels.boxes[0] = box
    assert cut_out(sample_of(picture(labels), labels, complete=False), 0, COCO_17) is None


def test_people_of_grey_pictures_are_not_cut_out():
    labels = standing((80, 220, 130))
    grey = cv2.cvtColor(cv2.cvtColor(picture(labels), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert is_grey(grey)
    assert not is_grey(picture(labels))
    assert cut_out(sample_of(grey, labels, complete=False), 0, COCO_17) is None


def test_covered_keypoints_become_hidden_and_keep_their_place():
    below, newcomer = standing((80, 220, 130)), standing((100, 230, 130))
    mask = np.zeros(SIZE, np.uint8)
    mask[:, 85:] = 255  # the newcomer is seen right of x = 85
    scene = put_in_front(
        sample_of(picture(below), below, complete=False),
        sample_of(picture(newcomer), newcomer, complete=False),
        mask,
    )
    covered = below.keypoints[0, :, 0] >= 85
    assert 2 < covered.sum() < 15
    np.testing.assert_array_equal(scene.flags[0], np.where(covered, HIDDEN, VISIBLE))
    np.testing.assert_array_equal(scene.keypoints[0], below.keypoints[0, :, :2])
    assert (scene.flags[1] == VISIBLE).all()
    np.testing.assert_array_equal(scene.image[:, 90:], picture(newcomer)[:, 90:])
    np.testing.assert_array_equal(scene.image[:, :80], picture(below)[:, :80])


@given(
    st.floats(5, 300), st.floats(5, 300), st.floats(20, 400), st.booleans(),
    st.floats(-50, 300), st.floats(-50, 300), st.floats(5, 200), st.floats(5, 200),
)  # fmt: skip
def test_a_box_is_brought_to_its_place(x, y, height, mirrored, left, top, wide, tall):
    place = Place(Candidate(0, 0, (0, 0), 1, True), (x, y), height, mirrored)
    matrix = place.matrix(np.array([left, top, left + wide, top + tall]))
    corners = np.array([[left, top + tall], [left + wide, top + tall], [left, top]])
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    assert moved[:2].mean(0) == pytest.approx((x, y), abs=1e-6)
    assert moved[0, 1] - moved[2, 1] == pytest.approx(height)
    assert (moved[0, 0] > moved[1, 0]) == mirrored
    assert abs(moved[1, 0] - moved[0, 0]) == pytest.approx(wide * height / tall)


@pytest.mark.parametrize(("count", "wanted"), [(2, 0.0), (5, 0.3), (6, 0.6), (9, 1.0)])
def test_a_plan_meets_the_wanted_crowding(count, wanted):
    images = [standing((80, 220, 130), image_id=i) for i in range(12)]
    model, *choice = candidates(images, COCO_17)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        background = images[model.image]
        places = plan_crowd(background, model, images, choice, count, wanted, rng)
        assert 1 <= len(places) <= count
        assert len({place.candidate for place in places}) == len(places)
        assert [p.foot[1] for p in places] == sorted(p.foot[1] for p in places)
        points, boxes = list(background.keypoints), list(background.boxes)
        for place in places:
            x, y, wide, tall = images[place.candidate.image].boxes[0]
            matrix = place.matrix(np.array([x, y, x + wide, y + tall]))
            moved = images[place.candidate.image].keypoints[0].copy()
            moved[:, :2] = moved[:, :2] @ matrix[:, :2].T + matrix[:, 2]
            points.append(moved)
            width = wide * place.height / tall
            boxes.append([place.foot[0] - width / 2, place.foot[1] - place.height,
                          width, place.height])  # fmt: skip
            assert (np.array(boxes[-1]) >= -1e-3).all()
            assert boxes[-1][0] + width <= SIZE[1] + 1e-3
            assert place.foot[1] <= SIZE[0]
        assert abs(crowding(np.array(points), np.array(boxes)) - wanted) < 0.15


def test_scenes_spread_over_the_subsets_and_say_their_crowd_index(photographs):
    scenes = [labels for _, labels in CrowdScenes(photographs, COCO_17, 12, people=(2, 4))]
    found = [crowd_subset(labels.crowd_index) for labels in scenes]
    assert min(found.count(name) for name in ("easy", "medium", "hard")) >= 2
    for number, labels in enumerate(scenes):
        assert labels.crowd_index == crowd_index(labels)
        assert (labels.image_id, labels.file_name) == (number + 1, f"{number:06d}.jpg")
        assert (labels.height, labels.width) == SIZE
        assert 2 <= len(labels) <= 6  # with the two of the background


def test_a_scene_depends_on_its_seed_and_number_only(photographs):
    scenes = CrowdScenes(photographs, COCO_17, 5, seed=3)
    image, labels = scenes[4]
    again = CrowdScenes(photographs, COCO_17, 100, seed=3)
    np.testing.assert_array_equal(again[4][0], image)
    np.testing.assert_array_equal(again[4][1].keypoints, labels.keypoints)
    other = CrowdScenes(photographs, COCO_17, 5, seed=4)[4]
    assert other[0].shape != image.shape or (other[0] != image).any()


def test_labels_of_scenes_are_those_of_the_photographs_moved_and_mirrored(photographs):
    """Everybody is as the one pose: upright, left on the right of the picture or all swapped."""
    for _, labels in CrowdScenes(photographs, COCO_17, 6):
        for points, box in zip(labels.keypoints, labels.boxes, strict=True):
            assert (points[:, 2] > UNLABELLED).all()
            height = (points[15, 1] - points[0, 1]) / 0.89
            x, y = points[[15, 16], :2].mean(0)
            # The pose is symmetric, so a mirrored person whose left and right swap is the same.
            expected = POSE * height + (x, y + 0.04 * height)
            np.testing.assert_allclose(points[:, :2], expected, atol=0.02 * height)
            assert box[3] == pytest.approx(height, rel=0.02)


def test_those_of_whom_next_to_nothing_is_left_are_ignored(photographs, monkeypatch):
    monkeypatch.setattr("erpose_edge.data.crowd_plan._LEAST_APART", 0.0)
    hidden = 0
    for _, labels in CrowdScenes(photographs, COCO_17, 6, people=(8, 10)):
        visible = (labels.keypoints[:, :, 2] == VISIBLE).sum(1)
        np.testing.assert_array_equal(labels.ignore, visible < 3)
        hidden += int(labels.ignore.sum())
    assert hidden > 0


def test_three_visible_keypoints_are_the_least_that_newcomers_may_leave():
    labels = standing(*[(40 * i + 40, 220, 130) for i in range(4)])
    sample = sample_of(picture(labels), labels, complete=False)
    for person, visible in enumerate((2, 3, 2, 0)):
        sample.flags[person, visible:] = HIDDEN
    before = np.array([17, 17, 2, 1])  # nothing was covered of the third
    assert _ignore_hidden(sample, before).ignored.tolist() == [True, False, False, True]


def test_who_is_not_covered_is_not_ignored_however_little_was_labelled(photographs):
    for labels in photographs.labels:
        labels.keypoints[1, 2:, 2] = UNLABELLED
    scenes = CrowdScenes(photographs, COCO_17, 6, people=(1, 1))
    found = [labels for _, labels in scenes if (labels.keypoints[:, :, 2] > 0).sum(1).min() == 2]
    assert found
    for labels in found:
        person = (labels.keypoints[:, :, 2] > 0).sum(1).argmin()
        uncovered = (labels.keypoints[person, :, 2] == VISIBLE).sum() == 2
        assert labels.ignore[person] != uncovered


def test_too_few_people_and_no_background_are_errors(photographs):
    few = replace(photographs, labels=photographs.labels[:2])
    with pytest.raises(DataError, match="expected at least 5 people who stand free"):
        CrowdScenes(few, COCO_17, 1)
    crowded = [replace(i, crowd=np.array([False, True])) for i in photographs.labels]
    with pytest.raises(DataError, match="expected a photograph of at most 5 small people"):
        CrowdScenes(replace(photographs, labels=crowded), COCO_17, 1)


def test_people_who_cannot_be_told_from_their_background_are_left_out(photographs, monkeypatch):
    tried = []

    def only_of_some(sample, person, skeleton):
        tried.append(person)
        return cut_out(sample, person, skeleton) if person == 0 else None

    monkeypatch.setattr("erpose_edge.data.crowds.cut_out", only_of_some)
    for _, labels in CrowdScenes(photographs, COCO_17, 4, people=(3, 3)):
        assert len(labels) == 2 + 3
    assert 1 in tried
    monkeypatch.setattr("erpose_edge.data.crowds.cut_out", lambda *_: None)
    with pytest.raises(DataError, match="expected people who can be told from their background"):
        CrowdScenes(photographs, COCO_17, 1)[0]

"""AP as CrowdPose's tool defines it, on sets small enough to be worked out by hand.

Every person's keypoints lie in a square of 100 pixels, and poses are the labels or far away, so
OKS is 1 or 0 and AP is the same at all ten thresholds. Three poses, right, wrong, right, with three
people to find: precision 1 up to recall 1/3 (34 of the 101 recalls), 2/3 up to recall 2/3 (the
next 33), then 0: AP = (34 + 33 * 2/3) / 101 = 56 / 101.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.keypoint_ap import evaluate
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17, CROWDPOSE_14

FAR = 1e4
SUBSETS = ("ap_crowd_easy", "ap_crowd_medium", "ap_crowd_hard")
ALL = pytest.approx(1)  # COCO guards a division, so that it is not quite 1


def image(image_id, index, count=1, keypoints=14):
    labels = np.full((count, keypoints, 3), 2, np.float32)
    for person in range(count):
        labels[person, :, :2] = np.linspace(0, 100, 2 * keypoints).reshape(keypoints, 2)
        labels[person, :, 0] += 300 * person
    boxes = np.array([[300 * p, 0, 100, 100] for p in range(count)], np.float32).reshape(-1, 4)
    return ImageLabels(
        image_id=image_id,
        file_name=f"{image_id}.jpg",
        width=2000,
        height=480,
        keypoints=labels,
        boxes=boxes,
        areas=np.full(count, 0.53 * 100 * 100),
        ignore=np.zeros(count, bool),
        annotation_ids=np.arange(count) + 100 * image_id,
        crowd_index=index,
    )


def poses(*found):
    """Poses of (keypoints, score)."""
    points = np.array([keypoints for keypoints, _ in found], np.float32)
    scores = np.array([score for _, score in found], np.float32)
    return Poses(scores, points, np.ones(points.shape[:2], np.float32))


def right(labels, person, score):
    return labels.keypoints[person, :, :2], score


def wrong(score, keypoints=14):
    return np.full((keypoints, 2), FAR), score


def subsets(images, found, skeleton=CROWDPOSE_14):
    result = evaluate(images, found, skeleton)
    return tuple(getattr(result, name) for name in SUBSETS)


def test_precision_and_recall_by_hand():
    labels = image(1, 0.5, count=3)
    found = poses(right(labels, 0, 0.9), wrong(0.8), right(labels, 1, 0.7))
    expected = pytest.approx(56 / 101)
    result = evaluate([labels], {1: found}, CROWDPOSE_14)
    assert (result.ap, result.ap50, result.ap75) == (expected, expected, expected)
    assert result.ar == pytest.approx(2 / 3)
    assert (result.ap_crowd_easy, result.ap_crowd_hard) == (None, None)
    assert result.ap_crowd_medium == expected


@pytest.mark.parametrize(
    ("index", "subset"),
    [
        (0.0, "ap_crowd_easy"),
        (0.1999, "ap_crowd_easy"),
        (0.2, "ap_crowd_medium"),
        (0.7999, "ap_crowd_medium"),
        (0.8, "ap_crowd_hard"),
        (1.0, "ap_crowd_hard"),
    ],
)
def test_an_image_on_a_line_belongs_to_the_harder_subset(index, subset):
    labels = image(1, index)
    result = evaluate([labels], {1: poses(right(labels, 0, 0.9))}, CROWDPOSE_14)
    assert {name: getattr(result, name) for name in SUBSETS} == {
        name: (ALL if name == subset else None) for name in SUBSETS
    }


def test_each_subset_is_ranked_for_itself():
    # Easy: one person, found. Medium: two people, a stray pose before the one that is found:
    # precision 1/2 up to recall 1/2 (51 recalls). Hard: nobody found, strays of the best score.
    easy, medium, hard = image(1, 0.1), image(2, 0.2, count=2), image(3, 0.8)
    found = {
        1: poses(right(easy, 0, 0.3)),
        2: poses(wrong(0.9), right(medium, 0, 0.2)),
        3: poses(wrong(1.0)),
    }
    result = evaluate([hard, easy, medium], found, CROWDPOSE_14)
    assert result.ap_crowd_easy == ALL
    assert result.ap_crowd_medium == pytest.approx(51 / 101 / 2)
    assert result.ap_crowd_hard == 0
    # All together: wrong, wrong, right, right of four people: precision 1/2 up to recall 1/2.
    assert result.ap == pytest.approx(51 / 101 / 2)


def test_a_subset_is_the_same_as_its_images_alone():
    rng = np.random.default_rng(0)
    images = [image(i, float(rng.random()), count=int(rng.integers(0, 5))) for i in range(30)]
    found = {}
    for labels in images:
        near = labels.keypoints[:, :, :2] + rng.normal(0, 8, (len(labels), 14, 2))
        stray = [wrong(float(np.round(rng.random(), 1)))] * int(rng.integers(0, 3))
        scored = [(points, float(np.round(rng.random(), 1))) for points in near]
        if stray or scored:
            found[labels.image_id] = poses(*stray, *scored)
    whole = evaluate(images, found, CROWDPOSE_14)
    lines = {"ap_crowd_easy": (0, 0.2), "ap_crowd_medium": (0.2, 0.8), "ap_crowd_hard": (0.8, 2)}
    for name, (low, high) in lines.items():
        chosen = [labels for labels in images if low <= labels.crowd_index < high]
        part = {i.image_id: found[i.image_id] for i in chosen if i.image_id in found}
        alone = evaluate(chosen, part, CROWDPOSE_14)
        assert getattr(whole, name) == pytest.approx(alone.ap, abs=1e-12)
        assert 0.05 < alone.ap < 0.95  # else the set tells nothing
        others = {getattr(alone, other) for other in lines if other != name}
        assert others == {None}


def test_without_a_crowd_index_there_are_no_subsets():
    assert subsets([image(1, None)], {}) == (None, None, None)
    assert subsets([image(1, None), image(2, 0.0)], {}) == (0, None, None)


def test_a_subset_in_which_nobody_is_to_be_found_is_undefined():
    empty = image(1, 0.5, count=0)
    ignored = replace(image(2, 0.9), ignore=np.array([True]))
    assert subsets([empty, ignored], {}) == (None, -1, -1)


def test_coco_sets_with_a_crowd_index_have_subsets_too():
    labels = image(1, 0.9, keypoints=17)
    found = {1: poses(right(labels, 0, 0.9))}
    assert subsets([labels], found, COCO_17) == (None, None, ALL)


def test_crowdpose_takes_the_area_of_the_box_whatever_the_file_says():
    labels = image(1, 0.5)
    off = labels.keypoints[0, :, :2] + (8, 0)
    expected = evaluate([labels], {1: poses((off, 0.9))}, CROWDPOSE_14)
    stated = replace(labels, areas=np.array([50.0]))
    assert evaluate([stated], {1: poses((off, 0.9))}, CROWDPOSE_14) == expected
    assert 0 < expected.ap < 1


def test_coco_takes_the_area_of_the_file():
    labels = image(1, 0.5, keypoints=17)
    found = {1: poses((labels.keypoints[0, :, :2] + (5, 0), 0.9))}
    larger = replace(labels, areas=labels.areas * 4)
    assert evaluate([larger], found, COCO_17).ap > evaluate([labels], found, COCO_17).ap


def test_an_oks_worked_out_by_hand_decides_the_threshold():
    """Every keypoint is off by d: OKS is the mean of exp(-d^2 / (2 * 0.53 w h (2 sigma)^2))."""
    labels = image(1, 0.5)
    sigmas = np.array(
        [.79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89, .79, .79]
    ) / 10  # fmt: skip
    distance = 8.0
    oks = np.exp(-(distance**2) / (2 * 0.53 * 100 * 100 * (2 * sigmas) ** 2)).mean()
    reached = (np.arange(0.5, 0.96, 0.05) < oks).mean()  # of the ten thresholds
    found = {1: poses((labels.keypoints[0, :, :2] + (distance, 0), 0.9))}
    assert 0.2 < reached < 0.9
    assert evaluate([labels], found, CROWDPOSE_14).ap == pytest.approx(reached)


def test_of_more_than_twenty_poses_the_best_twenty_count():
    labels = image(1, 0.5)
    strays = [wrong(0.9)] * 20
    assert evaluate([labels], {1: poses(*strays, right(labels, 0, 0.5))}, CROWDPOSE_14).ap == 0
    found = {1: poses(*strays[:19], right(labels, 0, 0.5))}
    assert evaluate([labels], found, CROWDPOSE_14).ap == pytest.approx(1 / 20)


def test_a_person_without_keypoints_excuses_a_pose_near_its_box():
    labels = image(1, 0.5, count=2)
    labels.keypoints[1, :, 2] = 0
    marked = replace(labels, ignore=np.array([False, True]))
    near = labels.keypoints[1, :, :2] + (50, 50)  # within three times the box
    found = {1: poses((near, 0.9), right(labels, 0, 0.5))}
    assert evaluate([marked], found, CROWDPOSE_14).ap == ALL
    found = {1: poses(wrong(0.9), right(labels, 0, 0.5))}
    assert evaluate([marked], found, CROWDPOSE_14).ap == pytest.approx(0.5)

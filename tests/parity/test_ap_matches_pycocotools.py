"""Keypoint AP of the project against COCOeval, on random data sets with every awkward case."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from erpose_edge.metrics import keypoint_ap, matching, oks
from erpose_edge.metrics.keypoint_ap import evaluate, match_poses
from erpose_edge.metrics.labels import ImageLabels, to_coco
from erpose_edge.metrics.per_keypoint import ap_per_keypoint
from erpose_edge.skeleton import COCO_17, CROWDPOSE_14, Skeleton

STATS = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")
TOLERANCE = 1e-6  # of a statistic in [0, 1]; the issue's own


def random_people(rng, image_id, count, skeleton, first_id):
    """People from tiny to large; of ten, about one is a crowd and one labels no keypoint."""
    sides = np.exp(rng.uniform(np.log(4), np.log(400), (count, 2)))
    corners = rng.uniform(0, 600, (count, 2))
    keypoints = np.zeros((count, len(skeleton), 3), np.float32)
    keypoints[:, :, :2] = corners[:, None] + rng.random((count, len(skeleton), 2)) * sides[:, None]
    keypoints[:, :, 2] = rng.choice([0, 1, 2], (count, len(skeleton)), p=[0.3, 0.2, 0.5])
    keypoints[rng.random(count) < 0.1, :, 2] = 0
    if count > 2:  # the same person twice: equal OKS, so the order of the labels decides
        keypoints[1], corners[1], sides[1] = keypoints[0], corners[0], sides[0]
    crowd = rng.random(count) < 0.1
    return ImageLabels(
        image_id=image_id,
        file_name=f"{image_id}.jpg",
        width=1000,
        height=1000,
        keypoints=keypoints,
        boxes=np.concatenate([corners, sides], axis=1).astype(np.float32),
        areas=0.53 * sides.prod(axis=1),
        ignore=crowd | (keypoints[:, :, 2] > 0).sum(axis=1).__eq__(0),
        annotation_ids=np.arange(first_id, first_id + count),
        crowd=crowd,
    )


def random_poses(rng, image, skeleton):
    """Poses near people, twice on some, and far from any; scores of one decimal, so many ties."""
    near = rng.integers(0, max(len(image), 1), rng.integers(0, 30) if len(image) else 0)
    spread = np.sqrt(image.areas[near])[:, None, None] * rng.choice([0.01, 0.05, 0.1, 0.3])
    found = image.keypoints[near, :, :2] + rng.normal(0, 1, (len(near), len(skeleton), 2)) * spread
    stray = rng.uniform(0, 1000, (rng.integers(0, 4), len(skeleton), 2))
    keypoints = np.concatenate([found, stray]).astype(np.float32)
    scores = np.round(rng.random(len(keypoints)), 1).astype(np.float32)
    return SimpleNamespace(scores=scores, keypoints=keypoints)


def random_set(seed, skeleton=COCO_17, images=40):
    rng = np.random.default_rng(seed)
    labels, first_id = [], 1
    for image_id in rng.permutation(images * 3)[:images]:
        labels.append(random_people(rng, int(image_id), rng.integers(0, 9), skeleton, first_id))
        first_id += len(labels[-1])
    poses = {i.image_id: random_poses(rng, i, skeleton) for i in labels if rng.random() < 0.9}
    return labels, poses


def pycocotools_evaluation(labels, poses, skeleton: Skeleton):
    coco_module = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    document = to_coco(labels, skeleton)
    found = [
        {
            "image_id": image_id,
            "category_id": 1,
            "score": float(score),
            "keypoints": np.c_[points.astype(float), np.ones(len(points))].ravel().tolist(),
        }
        for image_id, of_image in poses.items()
        for score, points in zip(of_image.scores, of_image.keypoints, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_module.COCO()
        truth.dataset = document
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(found), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
    return evaluation


def pycocotools_stats(labels, poses, skeleton: Skeleton):
    evaluation = pycocotools_evaluation(labels, poses, skeleton)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(STATS, evaluation.stats[:6], strict=True))


def own_stats(labels, poses, skeleton):
    result = evaluate(labels, poses, skeleton)
    return {name: getattr(result, name) for name in STATS}


@pytest.mark.parametrize("skeleton", [COCO_17, CROWDPOSE_14], ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(8))
def test_every_statistic_equals_pycocotools(seed, skeleton):
    labels, poses = random_set(seed, skeleton)
    expected = pycocotools_stats(labels, poses, skeleton)
    assert own_stats(labels, poses, skeleton) == pytest.approx(expected, abs=TOLERANCE)
    assert 0.01 < expected["ap"] < 0.99  # else the set tells nothing


@pytest.mark.parametrize("seed", range(30))
def test_small_sets_equal_pycocotools(seed):
    labels, poses = random_set(100 + seed, images=2)
    if not any(len(p.scores) for p in poses.values()):
        pytest.skip("COCO.loadRes takes no empty list")
    expected = pycocotools_stats(labels, poses, COCO_17)
    assert own_stats(labels, poses, COCO_17) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("seed", range(4))
def test_subsets_by_crowding_equal_pycocotools_on_their_images(seed):
    """CrowdPose's tool evaluates a list of images and takes the mean of the whole table."""
    labels, poses = random_set(seed, CROWDPOSE_14)
    indices = np.random.default_rng(seed).choice([0, 0.1, 0.2, 0.5, 0.8, 1], len(labels))
    labels = [replace(i, crowd_index=float(c)) for i, c in zip(labels, indices, strict=True)]
    evaluation = pycocotools_evaluation(labels, poses, CROWDPOSE_14)
    result = evaluate(labels, poses, CROWDPOSE_14)
    for name, low, high in (("easy", 0, 0.2), ("medium", 0.2, 0.8), ("hard", 0.8, 2)):
        evaluation.params.imgIds = [i.image_id for i in labels if low <= i.crowd_index < high]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evaluate()
            evaluation.accumulate()
        expected = evaluation.eval["precision"][:, :, :, 0, :].mean()
        assert getattr(result, f"ap_crowd_{name}") == pytest.approx(expected, abs=TOLERANCE)
        assert 0.01 < expected < 0.99


def with_one_keypoint(image, index):
    """Return the labels with every other keypoint unlabelled."""
    keypoints = np.zeros_like(image.keypoints)
    keypoints[:, index] = image.keypoints[:, index]
    keypoints[:, :, :2] = image.keypoints[:, :, :2]
    ignore = image.ignore | (keypoints[:, index, 2] == 0)
    return replace(image, keypoints=keypoints, ignore=ignore)


@pytest.mark.parametrize("skeleton", [COCO_17, CROWDPOSE_14], ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(2))
def test_ap_of_a_keypoint_equals_pycocotools_on_labels_of_it_alone(seed, skeleton):
    labels, poses = random_set(seed, skeleton, images=25)
    found = ap_per_keypoint(match_poses(labels, poses, skeleton), skeleton)
    assert list(found) == list(skeleton.keypoints)
    for index in (0, 5, len(skeleton) - 1):
        alone = [with_one_keypoint(image, index) for image in labels]
        expected = pycocotools_stats(alone, poses, skeleton)["ap"]
        assert found[skeleton.keypoints[index]] == pytest.approx(expected, abs=TOLERANCE)
        assert 0.01 < expected < 0.99


def test_a_keypoint_that_nobody_labels_has_no_ap():
    labels, poses = random_set(1, images=5)
    for image in labels:
        image.keypoints[:, 3, 2] = 0
    found = ap_per_keypoint(match_poses(labels, poses, COCO_17), COCO_17)
    assert found["left_ear"] == -1
    assert min(value for name, value in found.items() if name != "left_ear") >= 0


AWKWARD = {
    "two poses of one score": lambda labels, poses: any(
        len(np.unique(p.scores)) < len(p.scores) for p in poses.values()
    ),
    "two people alike": lambda labels, poses: any(
        len(i) > 1 and (i.keypoints[0] == i.keypoints[1]).all() for i in labels
    ),
    "a crowd": lambda labels, poses: any(i.crowd.any() for i in labels),
    "an image without people": lambda labels, poses: any(not len(i) for i in labels),
    "an image without poses": lambda labels, poses: any(i.image_id not in poses for i in labels),
    "more poses than count": lambda labels, poses: any(
        len(p.scores) > matching.MAX_POSES for p in poses.values()
    ),
}
CASES = 200


@pytest.mark.slow
def test_200_random_cases_equal_pycocotools_and_hold_everything_awkward():
    seen = dict.fromkeys(AWKWARD, 0)
    for seed in range(CASES):
        labels, poses = random_set(1000 + seed, images=4)
        if not any(len(p.scores) for p in poses.values()):
            continue  # COCO.loadRes takes no empty list
        expected = pycocotools_stats(labels, poses, COCO_17)
        assert own_stats(labels, poses, COCO_17) == pytest.approx(expected, abs=TOLERANCE), seed
        for what, holds in AWKWARD.items():
            seen[what] += holds(labels, poses)
    assert min(seen.values()) >= CASES // 10, seen


def test_nobody_of_a_size_is_undefined_as_in_pycocotools():
    labels, poses = random_set(3)
    labels = [replace(i, areas=np.full(len(i), 1e5)) for i in labels]
    expected = pycocotools_stats(labels, poses, COCO_17)
    assert expected["ap_medium"] == -1
    assert own_stats(labels, poses, COCO_17) == pytest.approx(expected, abs=TOLERANCE)


def test_perfect_poses_score_one():
    labels, _ = random_set(5)
    poses = {
        i.image_id: SimpleNamespace(
            scores=np.ones(len(i), np.float32), keypoints=i.keypoints[:, :, :2]
        )
        for i in labels
    }
    expected = pycocotools_stats(labels, poses, COCO_17)
    assert own_stats(labels, poses, COCO_17) == pytest.approx(expected, abs=TOLERANCE)
    assert expected["ar"] == 1


def _without_factor(distance_sq, areas, sigmas):
    return np.exp(-distance_sq / sigmas**2 / areas / 2)


def _no_box_for_bare_people(points, boxes):
    return np.full((len(points), len(boxes), points.shape[2], 2), 1e6)


ALTERATIONS = {
    "sigma without its factor 2": (oks, "similarity", _without_factor),
    "unlabelled people hide no pose": (oks, "_outside", _no_box_for_bare_people),
    "30 poses count": (matching, "MAX_POSES", 30),
    "thresholds from 0.45": (matching, "THRESHOLDS", np.linspace(0.45, 0.9, 10)),
    "area ranges of boxes": (matching, "AREA_RANGES", matching.AREA_RANGES * 0.53),
    "eleven recalls": (keypoint_ap, "RECALLS", np.linspace(0, 1, 11)),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_formula_is_told_from_pycocotools(alteration, monkeypatch):
    labels, poses = random_set(0)
    expected = pycocotools_stats(labels, poses, COCO_17)
    module, name, value = ALTERATIONS[alteration]
    for place in (module, keypoint_ap):
        if hasattr(place, name):
            monkeypatch.setattr(place, name, value)
    assert own_stats(labels, poses, COCO_17) != pytest.approx(expected, abs=TOLERANCE)

"""The worst images are those that lose most, and their pictures show both networks."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scored_people import crowd, noisy_poses

from erpose_edge.metrics.keypoint_ap import evaluate, match_poses
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.worst_images import draw_worst, image_ap, worst_images


@pytest.fixture
def images(rng):
    return [crowd(i, rng) for i in range(6)]


@pytest.fixture
def exact(images):
    """Poses that are the labels."""
    return {
        i.image_id: Poses(
            np.full(3, 0.9, np.float32), i.keypoints[:, :, :2], np.ones((3, 17), np.float32)
        )
        for i in images
    }


def only(poses, count):
    return Poses(poses.scores[:count], poses.keypoints[:count], poses.visibility[:count])


def matched(images, poses):
    return match_poses(images, poses, COCO_17)


def test_the_ap_of_an_image_is_that_of_a_set_of_it_alone(images, rng):
    poses = {i.image_id: noisy_poses(i, rng) for i in images if i.image_id != 4}
    images[5] = replace(images[5], ignore=np.ones(3, bool))
    expected = [
        evaluate([i], {k: p for k, p in poses.items() if k == i.image_id}, COCO_17).ap
        for i in images
    ]
    assert image_ap(matched(images, poses)).tolist() == expected
    assert expected[4:] == [0, -1]


def test_those_that_lose_most_come_first_and_those_that_lose_nothing_are_left_out(images, exact):
    fewer = {**exact, 1: only(exact[1], 2), 3: Poses.nobody(17), 4: only(exact[4], 2)}
    found = worst_images(matched(images, fewer), matched(images, exact))
    assert [image.image_id for image in found] == [3, 1, 4]  # equal ones by id
    assert (found[0].ap, found[0].reference_ap, found[0].people) == (0, pytest.approx(1), 3)
    assert found[0].file_name == "3.jpg"
    both = worst_images(matched(images, fewer), matched(images, exact), count=2)
    assert [image.image_id for image in both] == [3, 1]


def test_what_both_miss_is_no_loss_but_without_a_reference_the_lowest(images, exact):
    fewer = {**exact, 2: Poses.nobody(17)}
    assert worst_images(matched(images, fewer), matched(images, fewer)) == []
    (alone,) = worst_images(matched(images, fewer))
    assert (alone.image_id, alone.ap, alone.reference_ap) == (2, 0, None)


def test_an_image_without_people_is_none_of_them(images, exact):
    images[2] = replace(images[2], ignore=np.ones(3, bool))
    assert worst_images(matched(images, {**exact, 2: Poses.nobody(17)})) == []


def test_pictures_show_the_reference_beside_the_network(images, exact, tmp_path):
    """Every third picture comes from a file."""
    fewer = {**exact, 1: Poses.nobody(17), 3: only(exact[3], 1)}
    grey = np.full((360, 360, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "3.png"), grey)
    samples = [(tmp_path / "3.png" if i.image_id == 3 else grey, i) for i in images]
    found = worst_images(matched(images, fewer), matched(images, exact))
    sides = {"fp32": exact, "int8": fewer}
    drawn = draw_worst(found, samples, sides, COCO_17, tmp_path / "out")
    assert [image.picture for image in drawn] == ["01-1.jpg", "02-3.jpg"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["01-1.jpg", "02-3.jpg"]
    sheet = cv2.imread(str(tmp_path / "out" / "01-1.jpg"))
    height, width = sheet.shape[:2]
    assert width == 2 * 360 + 8
    assert height > 360
    left, right = sheet[-360:, :360], sheet[-360:, -360:]
    assert left.std() > 10  # people
    assert right.std() < 2  # nobody
    caption = sheet[: height - 360]
    assert caption[:, :360].min() < 100
    assert caption[:, -360:].min() < 100


def test_each_side_is_captioned_with_its_own_ap(images, exact, tmp_path):
    (image,) = worst_images(matched(images, {**exact, 1: Poses.nobody(17)}))
    samples = [(np.full((360, 360, 3), 90, np.uint8), i) for i in images]
    sheets = []
    for ap in (0.75, 0.25):
        compared = [replace(image, reference_ap=ap)]
        draw_worst(compared, samples, {"a": exact, "b": exact}, COCO_17, tmp_path)
        sheets.append(cv2.imread(str(tmp_path / "01-1.jpg"))[:-360].astype(int))
    changed = np.abs(sheets[0] - sheets[1]).max(axis=(0, 2))
    assert changed[:360].max() > 50
    assert changed[-360:].max() < 5


def test_faint_poses_are_not_drawn(images, exact, tmp_path):
    faint = {i: replace(p, scores=np.full(3, 0.1, np.float32)) for i, p in exact.items()}
    grey = np.full((360, 360, 3), 90, np.uint8)
    found = worst_images(matched(images, {1: exact[1]}))[:1]
    draw_worst(found, [(grey, i) for i in images], {"int8": faint}, COCO_17, tmp_path)
    assert cv2.imread(str(tmp_path / "01-0.jpg"))[-360:].std() < 2

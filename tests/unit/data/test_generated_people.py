"""Rules of the generated people: the same everywhere, and labelled as they are drawn."""

from __future__ import annotations

import hashlib
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erpose_edge.data.generated.anatomy import (
    camera_rotation,
    place,
    pose_body,
    product,
    rotation,
    sample_build,
)
from erpose_edge.data.generated.body import dress
from erpose_edge.data.generated.dice import Dice, cos_sin
from erpose_edge.data.generated.outfit import sample_outfit
from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.data.generated.person import render_person_cutout
from erpose_edge.data.generated.poses import FAMILIES, LEFT, RIGHT, Pose, sample_pose
from erpose_edge.data.generated.scene import compose_scene, render_scene
from erpose_edge.errors import DataError
from erpose_edge.skeleton import COCO_17

GOLDEN = {
    (0, (240, 320)): "0b38b973180b8339",
    (9, (192, 160)): "7ab696b8eb67f4d5",
    (2**40 + 5, (97, 131)): "77850794904843cc",
}
SMALL = (96, 128)
NAMES = COCO_17.keypoints
SEEDS = st.integers(0, 2**63)
FRONT = camera_rotation(0, 0, 0)
BACK = camera_rotation(180, 0, 0)


def fingerprint(seed: int, size: tuple[int, int]) -> str:
    image, labels = render_scene(seed, size)
    digest = hashlib.sha256(image.tobytes())
    for array in (labels.keypoints, labels.boxes, labels.areas, labels.ignore):
        digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


def at_attention() -> Pose:
    still = (0.0, 0.0, 0.0, 0.0)
    return Pose("standing", arms=dict.fromkeys((LEFT, RIGHT), still),
                legs=dict.fromkeys((LEFT, RIGHT), (*still, 0.0)))  # fmt: skip


def keypoints_of(pose: Pose, camera) -> tuple[dict, dict]:
    """Places and tags of shapes on which they are seen, by keypoint name."""
    dice = Dice(3)
    build, outfit = sample_build(dice), sample_outfit(dice, 100)
    person = dress(build, pose_body(build, pose, camera), outfit)
    return (
        dict(zip(NAMES, person.keypoints, strict=True)),
        dict(zip(NAMES, person.seen_on, strict=True)),
    )


@pytest.mark.parametrize(("seed", "size"), GOLDEN)
def test_a_seed_gives_the_bytes_it_always_gave(seed, size):
    assert fingerprint(seed, size) == GOLDEN[seed, size]


def test_bytes_depend_neither_on_threads_nor_on_vector_instructions():
    expected = [fingerprint(seed, (160, 200)) for seed in range(8)]
    threads, optimized = cv2.getNumThreads(), cv2.useOptimized()
    try:
        cv2.setNumThreads(1)
        cv2.setUseOptimized(False)
        assert [fingerprint(seed, (160, 200)) for seed in range(8)] == expected
    finally:
        cv2.setNumThreads(threads)
        cv2.setUseOptimized(optimized)


def test_a_scene_depends_on_its_index_alone():
    people = GeneratedPeople(6, seed=4, size=SMALL)
    backwards = [people[index] for index in reversed(range(6))][::-1]
    for index, (image, labels) in enumerate(people):
        assert np.array_equal(image, backwards[index][0])
        assert np.array_equal(labels.keypoints, backwards[index][1].keypoints)
        assert labels.image_id == index + 1
        assert (labels.height, labels.width) == image.shape[:2] == SMALL
    other = GeneratedPeople(6, seed=5, size=SMALL)
    assert not np.array_equal(other[0][0], people[0][0])


def test_labels_are_those_of_the_pictures():
    people = GeneratedPeople(5, size=SMALL)
    listed = people.labels()
    assert [entry.file_name for entry in listed] == [labels.file_name for _, labels in people]
    assert all(np.array_equal(a.boxes, b.boxes) for a, (_, b) in zip(listed, people, strict=True))


def test_an_index_outside_the_data_set_is_an_index_error():
    with pytest.raises(IndexError):
        GeneratedPeople(2, size=SMALL)[2]


def test_nobody_is_an_empty_label():
    image, labels = render_scene(5, SMALL, people=0)
    assert image.shape == (*SMALL, 3)
    assert labels.keypoints.shape == (0, 17, 3)
    assert labels.boxes.shape == (0, 4)
    assert len(labels) == 0


@pytest.mark.parametrize("size", [(32, 32), (33, 200), (480, 97)])
def test_pictures_have_the_size_asked_for(size):
    image, labels = render_scene(1, size, people=2)
    assert image.shape == (*size, 3)
    assert image.dtype == np.uint8
    assert (labels.height, labels.width) == size


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render_scene(0, (20, 64)), "scene size: expected at least 32 x 32 px, got"),
        (lambda: render_scene(0, SMALL, people=-1), "scene people: expected 0 to 60, got -1"),
        (lambda: render_scene(-1, SMALL), "scene seed: expected 0 or more, got -1"),
        (lambda: GeneratedPeople(-2), "generated people count: expected 0 or more, got -2"),
    ],
)
def test_what_cannot_be_drawn_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_labels_agree_with_the_picture(seed):
    image, labels, owner = compose_scene(Dice(seed), SMALL)
    height, width = SMALL
    assert image.any()
    flags = labels.keypoints[:, :, 2]
    assert np.isfinite(labels.keypoints).all()
    assert set(np.unique(flags)) <= {0, 1, 2}
    assert not labels.keypoints[flags == 0].any()
    x, y = labels.keypoints[flags > 0][:, :2].T
    assert ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).all()
    assert np.array_equal(labels.ignore, (flags > 0).sum(axis=1) == 0)
    for row, name in enumerate(labels.annotation_ids):
        left, top, wide, high = labels.boxes[row]
        rows, columns = np.nonzero(owner == name)
        assert (columns >= left).all() and (columns < left + wide).all()
        assert (rows >= top).all() and (rows < top + high).all()
        assert left >= 0 and left + wide <= width and top >= 0 and top + high <= height
        assert rows.size <= labels.areas[row] <= wide * high
        visible = labels.keypoints[row][flags[row] == 2]
        # What is visible is drawn: the pixel belongs to this person and to nothing in front.
        nearest = np.floor(visible[:, :2] + 0.5).astype(int)
        assert (owner[nearest[:, 1], nearest[:, 0]] == name).all()


def test_what_others_cover_is_hidden():
    """Keypoints under other people or objects occur, and every one of them has flag 1."""
    covered = 0
    for seed in range(12):
        _, labels, owner = compose_scene(Dice(seed), (160, 200), people=6)
        for name, points in zip(labels.annotation_ids, labels.keypoints, strict=True):
            points = points[points[:, 2] > 0]
            at = np.floor(points[:, :2] + 0.5).astype(int)
            under = (owner[at[:, 1], at[:, 0]] != name) & (owner[at[:, 1], at[:, 0]] != 0)
            assert (points[under, 2] == 1).all()
            covered += int(under.sum())
    assert covered > 50


def test_a_data_set_is_varied():
    labels = GeneratedPeople(80, seed=1, size=SMALL).labels()
    counts = {len(entry) for entry in labels}
    assert 0 in counts and max(counts) >= 8
    points = np.concatenate([entry.keypoints[~entry.ignore] for entry in labels])
    shares = [(points[:, :, 2] == flag).mean() for flag in (0, 1, 2)]
    assert min(shares) > 0.08
    heights = np.concatenate([entry.boxes[:, 3] for entry in labels])
    assert np.percentile(heights, 90) > 2.5 * np.percentile(heights, 10)


def test_left_is_the_persons_left():
    front, _ = keypoints_of(at_attention(), FRONT)
    back, _ = keypoints_of(at_attention(), BACK)
    for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert front["left_" + name][0] > front["right_" + name][0] + 0.01
        assert back["left_" + name][0] < back["right_" + name][0] - 0.01
    heights = [
        front[n][1] for n in ("nose", "left_shoulder", "left_hip", "left_knee", "left_ankle")
    ]
    assert heights == sorted(heights)


def test_yaw_90_looks_to_the_left_edge():
    points, seen = keypoints_of(at_attention(), camera_rotation(90, 0, 0))
    assert points["nose"][0] < points["left_ear"][0] - 0.03
    # The left side is turned to the camera.
    assert points["left_shoulder"][2] < points["right_shoulder"][2]
    assert not seen["right_ear"] or not seen["left_ear"]


def test_the_face_is_seen_from_the_front_only():
    _, front = keypoints_of(at_attention(), FRONT)
    _, back = keypoints_of(at_attention(), BACK)
    for name in ("nose", "left_eye", "right_eye"):
        assert front[name]
        assert not back[name]


def test_looking_down_brings_the_head_nearer():
    points, _ = keypoints_of(at_attention(), camera_rotation(0, 30, 0))
    assert points["nose"][2] < points["left_ankle"][2]


@pytest.mark.parametrize(
    ("limb", "angles", "end", "axis", "sign"),
    [
        ("arms", (0, 0, 0, 90), "wrist", 2, -1),  # a bent elbow brings the hand forward
        ("arms", (90, 0, 0, 0), "elbow", 2, -1),  # flexion lifts the arm forward
        ("arms", (0, 0, 70, 90), "wrist", 0, -1),  # inner rotation brings the hand to the middle
        ("legs", (0, 0, 0, 90, 0), "ankle", 2, 1),  # a bent knee brings the foot back
        ("legs", (90, 0, 0, 0, 0), "knee", 2, -1),
        ("legs", (0, 40, 0, 0, 0), "knee", 0, 1),  # abduction moves away from the middle
    ],
)
def test_joints_bend_the_way_people_do(limb, angles, end, axis, sign):
    pose = at_attention()
    still, _ = keypoints_of(pose, FRONT)
    getattr(pose, limb)[LEFT] = angles
    getattr(pose, limb)[RIGHT] = angles
    bent, _ = keypoints_of(pose, FRONT)
    assert sign * (bent["left_" + end][axis] - still["left_" + end][axis]) > 0.05
    mirrored = sign if axis == 2 else -sign
    assert mirrored * (bent["right_" + end][axis] - still["right_" + end][axis]) > 0.05


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([family for family, _ in FAMILIES]), st.floats(-180, 180))
def test_bones_keep_their_length_in_every_pose(seed, family, yaw):
    dice = Dice(seed)
    build, pose = sample_build(dice), sample_pose(dice, family)
    points = pose_body(build, pose, camera_rotation(yaw, 12, -5)).points
    bones = (("shoulder", "elbow", build.upper_arm), ("elbow", "wrist", build.forearm),
             ("hip", "knee", build.thigh), ("knee", "ankle", build.shin))  # fmt: skip
    for end in ("_l", "_r"):
        for one, other, length in bones:
            assert math.dist(points[one + end], points[other + end]) == pytest.approx(length, 1e-3)
    assert math.dist(points["hip_l"], points["hip_r"]) == pytest.approx(2 * build.hip, rel=1e-3)


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_rotations_are_those_of_the_textbook(one, other):
    c, s = cos_sin(one)
    assert c == pytest.approx(math.cos(math.radians(one)), abs=1e-3)
    assert s == pytest.approx(math.sin(math.radians(one)), abs=1e-3)
    a, b = rotation(0, one), rotation(1, other)
    expected = np.reshape(a, (3, 3)) @ np.reshape(b, (3, 3))
    assert np.reshape(product(a, b), (3, 3)) == pytest.approx(expected)
    moved = place((1.0, 2.0, 3.0), a, (4.0, 5.0, 6.0))
    assert moved == pytest.approx(np.reshape(a, (3, 3)) @ (4, 5, 6) + (1, 2, 3))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(24, 220))
def test_a_cutout_has_its_visible_keypoints_on_the_person(seed, height):
    bgr, mask, keypoints = render_person_cutout(Dice(seed).generator, height)
    assert bgr.shape == (*mask.shape, 3)
    assert not bgr[mask == 0].any()
    assert mask.max() == 255
    assert max(mask.shape) <= 2.7 * height + 8
    visible = keypoints[keypoints[:, 2] == 2]
    column, row = np.floor(visible[:, :2] + 0.5).astype(int).T
    assert (mask[row, column] > 0).all()

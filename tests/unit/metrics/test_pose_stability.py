"""Jitter, flicker and change of order: what theory says of tracks whose noise is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.pose_stability import (
    between,
    distance,
    flicker,
    follow,
    jitter,
    labelled_tracks,
    link,
    order_changes,
)
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17

K = len(COCO_17)
SHAPE = np.stack([np.linspace(0, 60, K), np.linspace(0, 80, K)], axis=1)  # diagonal 100 px
DIAGONAL = 100.0
THEORY = 0.04  # relative: the standard error of a deviation from ~10,000 dependent samples, x 4


def poses(*people: np.ndarray) -> Poses:
    points = np.array(people, np.float32).reshape(-1, K, 2)
    scores = np.linspace(0.9, 0.5, len(people), dtype=np.float32)
    return Poses(scores, points, np.ones(points.shape[:2], np.float32))


def labels(frame: int, people: dict[int, np.ndarray]) -> ImageLabels:
    points = np.array(list(people.values())).reshape(-1, K, 2)
    flags = np.full((len(people), K, 1), 2.0)
    return ImageLabels(
        image_id=frame + 1,
        file_name="",
        width=999,
        height=999,
        keypoints=np.concatenate([points, flags], axis=2).astype(np.float32),
        boxes=np.zeros((len(people), 4), np.float32),
        areas=np.full(len(people), 4000.0),
        ignore=np.zeros(len(people), bool),
        annotation_ids=np.array(list(people), np.int64),
    )


def clip(frames: int, *starts: float, speed: float = 0.0, bend: float = 0.0) -> list[ImageLabels]:
    """People in a row, each at x = start, who move by speed t + bend t² px."""
    moved = [speed * t + bend * t * t for t in range(frames)]
    return [
        labels(t, {i: SHAPE + np.array((start + moved[t], 0)) for i, start in enumerate(starts, 1)})
        for t in range(frames)
    ]


def answered(shown: list[ImageLabels], noise: float = 0.0) -> list[Poses]:
    rng = np.random.default_rng(0)
    points = [entry.keypoints[:, :, :2] for entry in shown]
    return [poses(*(p + noise * rng.standard_normal(p.shape))) for p in points]


def test_perfect_answers_have_no_jitter_however_people_move():
    shown = clip(12, 0, 300, speed=3, bend=0.7)
    known = labelled_tracks(shown)
    found = jitter(follow(answered(shown), known, COCO_17), known)
    assert (found.value, found.typical, found.samples) == (0, 0, 10 * 2 * K)
    assert found.keypoints == (0,) * K


@pytest.mark.parametrize("sigma", [0.3, 1.5])
@pytest.mark.parametrize("known", [True, False])
def test_noise_of_sigma_is_a_jitter_of_sigma(sigma, known):
    shown = clip(300, 0, 300, speed=1.5)
    people = labelled_tracks(shown)
    answers = answered(shown, sigma)
    tracks = follow(answers, people, COCO_17) if known else link(answers, COCO_17, 5)
    found = jitter(tracks, people if known else None)
    expected = 100 * sigma / DIAGONAL
    assert found.value == pytest.approx(expected, rel=THEORY)
    assert found.typical == pytest.approx(expected, rel=THEORY)
    assert np.mean(found.keypoints) == pytest.approx(expected, rel=THEORY)


def test_without_labels_steady_motion_is_no_jitter_and_acceleration_is():
    steady, bent = clip(20, 0, speed=4), clip(20, 0, bend=0.5)
    assert jitter(link(answered(steady), COCO_17, 5)).value == pytest.approx(0, abs=1e-5)
    # x = t² / 2 has a second difference of 1 px in one of two coordinates.
    expected = 100 * np.sqrt(1 / 12) / DIAGONAL
    assert jitter(link(answered(bent), COCO_17, 5)).value == pytest.approx(expected, rel=1e-4)


def test_jitter_does_not_depend_on_how_large_people_are():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((30, K, 2))
    small, large = (
        jitter(link([poses(scale * (SHAPE + n)) for n in noise], COCO_17, 5)).value
        for scale in (1, 4)
    )
    assert small == pytest.approx(large, rel=1e-5)


def test_a_jump_weighs_in_the_mean_and_not_in_the_median():
    shown = clip(40, 0)
    answers = answered(shown, 0.5)
    answers[20] = replace(answers[20], keypoints=answers[20].keypoints + 8)
    known = labelled_tracks(shown)
    found = jitter(follow(answers, known, COCO_17), known)
    assert found.value > 2 * found.typical


def test_two_frames_are_too_few_for_jitter():
    found = jitter(link(answered(clip(2, 0)), COCO_17, 5))
    assert (found.value, found.typical, found.samples) == (None, None, 0)
    assert found.keypoints == (None,) * K


def test_what_is_shared_with_the_reference_is_not_added_jitter():
    shown = clip(50, 0, 300, bend=0.2)
    theirs = answered(shown, 1.0)
    reference = link(theirs, COCO_17, 5)
    assert jitter(follow(theirs, reference, COCO_17), reference).value == 0
    moved = [replace(p, keypoints=p.keypoints + 3) for p in theirs]
    ours = follow(moved, reference, COCO_17)
    assert jitter(ours, reference).value == pytest.approx(0, abs=1e-4)
    # 3 px along both axes of a body whose diagonal the noise has grown by some px.
    assert distance(ours, reference) == pytest.approx(100 * 3 * np.sqrt(2) / DIAGONAL, rel=0.05)


def test_keypoints_that_nobody_can_see_do_not_count():
    shown = clip(10, 0)
    hidden = [replace(p, visibility=np.zeros_like(p.visibility)) for p in answered(shown, 1.0)]
    assert jitter(link(hidden, COCO_17, 5)).samples == 0
    known = labelled_tracks(shown)
    assert jitter(follow(hidden, known, COCO_17), known).samples == 8 * K


def test_a_dropped_person_is_flicker():
    shown = clip(10, 0, 300)
    answers = answered(shown)
    answers[4] = poses(shown[4].keypoints[0, :, :2])
    known = labelled_tracks(shown)
    assert flicker(follow(answers, known, COCO_17), known) == (2, 20)
    assert flicker(link(answers, COCO_17, 5)) == (2, 20)
    assert flicker(labelled_tracks(shown), known) == (0, 20)


def test_leaving_the_picture_is_no_flicker():
    shown = [*clip(6, 0, 300), *clip(4, 0)]
    known = labelled_tracks(shown)
    assert flicker(follow(answered(shown), known, COCO_17), known) == (0, 16)
    assert flicker(link(answered(shown), COCO_17, 5)) == (0, 16)


def test_somebody_dropped_for_good_is_flicker_where_labels_know_it():
    shown = clip(10, 0, 300)
    answers = answered(shown)[:5] + answered(clip(5, 0))
    known = labelled_tracks(shown)
    assert flicker(follow(answers, known, COCO_17), known) == (1, 20)


def test_who_comes_back_after_patience_is_somebody_else():
    shown = [*clip(3, 0), *clip(4), *clip(3, 0)]
    assert link(answered(shown), COCO_17, 5).rank.shape == (10, 1)
    assert link(answered(shown), COCO_17, 4).rank.shape == (10, 2)


def test_a_swapped_order_is_a_change_of_order():
    shown = clip(6, 0, 300, 600)
    answers = answered(shown)
    swapped = answers[3].keypoints[[1, 0, 2]]
    answers[3] = replace(answers[3], keypoints=swapped)
    for tracks in (
        link(answers, COCO_17, 5),
        follow(answers, labelled_tracks(shown), COCO_17),
    ):
        # There and back, one of three pairs each.
        assert order_changes(between(tracks, 0, -1), between(tracks, 1, None)) == (2, 15)
    steady = link(answered(shown), COCO_17, 5)
    assert order_changes(steady, link(answers, COCO_17, 5)) == (1, 18)


def test_a_second_answer_for_a_person_is_nobody_of_the_people():
    shown = clip(3, 0)
    doubled = [poses(*p.keypoints, *(p.keypoints + 1)) for p in answered(shown)]
    tracks = follow(doubled, labelled_tracks(shown), COCO_17)
    assert tracks.rank.tolist() == [[0], [0], [0]]


def test_people_are_told_apart_when_they_stand_close():
    shown = clip(8, 0, 25, speed=2)
    reversed_answers = [poses(*p.keypoints[::-1]) for p in answered(shown)]
    tracks = follow(reversed_answers, labelled_tracks(shown), COCO_17)
    assert (tracks.rank == [1, 0]).all()


def test_a_labelled_person_of_whom_little_is_seen_is_not_there():
    frame = labels(0, {7: SHAPE})
    flags = frame.keypoints.copy()
    flags[0, 5:, 2] = 1
    assert labelled_tracks([replace(frame, keypoints=flags)]).found.all()
    flags[0, 4:, 2] = 1
    assert not labelled_tracks([replace(frame, keypoints=flags)]).found.any()
    assert not labelled_tracks([replace(frame, ignore=np.ones(1, bool))]).found.any()


def test_nobody_at_all_is_no_error():
    empty = clip(5)
    for tracks in (link(answered(empty), COCO_17, 5), labelled_tracks(empty)):
        assert jitter(tracks).value is None
        assert flicker(tracks) == (0, 0)
        assert order_changes(tracks, tracks) == (0, 0)
        assert distance(tracks, tracks) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_answers_give_tracks_with_every_answer_once(seed):
    rng = np.random.default_rng(seed)
    answers = [
        poses(*(SHAPE * rng.uniform(0, 2) + rng.uniform(0, 200, 2) for _ in range(n)))
        for n in rng.integers(0, 5, 7)
    ]
    tracks = link(answers, COCO_17, 2)
    for t, found in enumerate(answers):
        ranks = tracks.rank[t]
        assert sorted(ranks[ranks >= 0].tolist()) == list(range(len(found)))
    assert np.array_equal(np.isnan(tracks.keypoints[..., 0]).all(axis=2), ~tracks.found)
    changes, frames = flicker(tracks)
    assert 0 <= changes <= frames
    swapped, pairs = order_changes(between(tracks, 0, -1), between(tracks, 1, None))
    assert 0 <= swapped <= pairs
    followed = follow(answers, tracks, COCO_17)
    assert (followed.found <= tracks.found).all()


def test_entering_the_picture_is_no_flicker():
    shown = [*clip(4, 0), *clip(6, 0, 300)]
    known = labelled_tracks(shown)
    assert flicker(follow(answered(shown), known, COCO_17), known) == (0, 16)


def test_one_answer_is_one_person_only():
    shown = clip(3, 0, 8)
    single = [poses(p.keypoints[1]) for p in answered(shown)]
    tracks = follow(single, labelled_tracks(shown), COCO_17)
    assert tracks.rank.tolist() == [[-1, 0]] * 3

"""Clips of generated people: the same bytes everywhere, one identity a person, smooth motion."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from erpose_edge.data.generated.clip import GeneratedClip
from erpose_edge.errors import DataError
from erpose_edge.metrics.pose_stability import flicker, jitter, labelled_tracks

SMALL = (96, 128)
GOLDEN = {(0, 0): "5a0c493a431205a1", (5, 17): "a56931c06014b259", (2**20, 59): "fe9f6afc837bf771"}


def fingerprint(seed: int, frame: int, size: tuple[int, int] = SMALL) -> str:
    image, labels = GeneratedClip(60, seed, size)[frame]
    digest = hashlib.sha256(image.tobytes())
    for array in (labels.keypoints, labels.boxes, labels.areas, labels.annotation_ids):
        digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(("seed", "frame"), GOLDEN)
def test_a_frame_has_the_bytes_it_always_had(seed, frame):
    assert fingerprint(seed, frame) == GOLDEN[seed, frame]


def test_bytes_depend_neither_on_threads_nor_on_vector_instructions():
    expected = [fingerprint(seed, 9, (160, 200)) for seed in range(4)]
    threads, optimized = cv2.getNumThreads(), cv2.useOptimized()
    try:
        cv2.setNumThreads(1)
        cv2.setUseOptimized(False)
        assert [fingerprint(seed, 9, (160, 200)) for seed in range(4)] == expected
    finally:
        cv2.setNumThreads(threads)
        cv2.setUseOptimized(optimized)


def test_a_frame_depends_on_its_number_alone():
    clip = GeneratedClip(6, 3, SMALL)
    backwards = [clip[i] for i in reversed(range(6))][::-1]
    for index, (image, labels) in enumerate(clip):
        assert np.array_equal(image, backwards[index][0])
        assert np.array_equal(labels.keypoints, backwards[index][1].keypoints)
        assert (labels.image_id, labels.height, labels.width) == (index + 1, *SMALL)
        assert labels.file_name == f"clip_3_{index:06d}.png"
    assert not np.array_equal(GeneratedClip(6, 4, SMALL)[0][0], clip[0][0])


def test_everybody_keeps_their_number():
    known = [set(labels.annotation_ids.tolist()) for _, labels in GeneratedClip(10, 1, SMALL)]
    assert set.union(*known) <= {1, 2, 3}
    assert any(len(ids) == 3 for ids in known)


def test_people_move_smoothly_and_stay_who_they_are():
    """Whoever moves does so by far less than their size from a frame to the next."""
    moved = 0.0
    for seed in range(6):
        clip = GeneratedClip(20, seed, (160, 200))
        tracks = labelled_tracks([labels for _, labels in clip])
        whole = tracks.counted.all(axis=2, keepdims=True)  # nothing of them outside the picture
        seen = np.broadcast_to(whole[1:] & whole[:-1], tracks.counted[1:].shape)
        step = np.abs(np.diff(tracks.keypoints, axis=0)).max(axis=-1)[seen]
        sizes = np.broadcast_to(tracks.diagonals[1:, :, None], seen.shape)[seen]
        assert (step <= 0.18 * sizes + 0.5).all()
        moved = max(moved, float((step / sizes).max(initial=0)))
        assert (jitter(tracks).value or 0) < 1.5
    assert moved > 0.01


def test_a_still_clip_has_labels_without_jitter_and_noise_in_the_picture():
    frames = list(GeneratedClip(5, 2, SMALL, moving=False))
    tracks = labelled_tracks([labels for _, labels in frames])
    assert jitter(tracks).value == 0
    assert flicker(tracks)[0] == 0
    assert not np.array_equal(frames[0][0], frames[1][0])


def test_a_rate_twice_as_high_shows_the_same_moments():
    slow, fast = GeneratedClip(4, 1, SMALL, rate=15.0), GeneratedClip(8, 1, SMALL, rate=30.0)
    for index in range(4):
        assert np.array_equal(slow[index][1].keypoints, fast[2 * index][1].keypoints)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -1}, "clip frames: expected 0 or more, got -1"),
        ({"seed": -1}, "clip seed: expected 0 or more, got -1"),
        ({"size": (20, 64)}, "clip size: expected at least 32 x 32 px, got"),
        ({"people": 61}, "clip people: expected 0 to 60, got 61"),
        ({"rate": 0.0}, "clip rate: expected frames a second above 0, got 0"),
        ({"rate": float("nan")}, "clip rate: expected frames a second above 0, got nan"),
    ],
)
def test_what_cannot_be_drawn_is_named(change, message):
    with pytest.raises(DataError, match=message):
        GeneratedClip(**{"count": 3, "size": SMALL, **change})


def test_a_number_outside_the_clip_is_an_index_error():
    with pytest.raises(IndexError, match="frame 3 of 3"):
        GeneratedClip(3, size=SMALL)[3]

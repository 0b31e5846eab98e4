"""Packed labels are the labels that were packed."""

from __future__ import annotations

import pickle
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erpose_edge.data.packed_labels import PackedLabels
from erpose_edge.metrics.image_labels import ImageLabels


def labels_of(counts, keypoints=17):
    rng = np.random.default_rng(0)
    return [
        ImageLabels(
            image_id=10 * place,
            file_name=f"folder/{place}.jpg",
            width=640 + place,
            height=480 - place,
            keypoints=rng.random((count, keypoints, 3), np.float32),
            boxes=rng.random((count, 4), np.float32),
            areas=rng.random(count),
            ignore=rng.random(count) < 0.5,
            annotation_ids=rng.integers(0, 10**12, count),
            crowd_index=None if place % 2 else 0.5,
            crowd=rng.random(count) < 0.5,
        )
        for place, count in enumerate(counts)
    ]


def assert_equal(ours, theirs):
    for field in fields(ImageLabels):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        assert type(a) is type(b)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            assert a.shape == b.shape
        assert np.array_equal(a, b), field.name


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=6), keypoints=st.sampled_from([14, 17])
)
def test_every_image_comes_back_as_it_was(counts, keypoints):
    images = labels_of(counts, keypoints)
    packed = pickle.loads(pickle.dumps(PackedLabels(images)))
    assert len(packed) == len(images)
    for index, expected in enumerate(images):
        assert_equal(packed[index], expected)


def test_it_is_a_sequence():
    images = labels_of([1, 0, 3])
    packed = PackedLabels(images)
    assert [i.image_id for i in packed] == [0, 10, 20]
    assert_equal(packed[-1], images[2])
    assert [i.image_id for i in packed[1:]] == [10, 20]
    with pytest.raises(IndexError):
        packed[3]


def test_packed_labels_are_much_smaller_to_send():
    images = labels_of([2] * 200)
    assert len(pickle.dumps(PackedLabels(images))) < 0.8 * len(pickle.dumps(images))

"""A sample is a function of seed, epoch and position; bad images are replaced."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import dotted_sample

from erpose_edge.config import AugmentationConfig
from erpose_edge.data.sample import Sample
from erpose_edge.data.training_set import TrainingSet
from erpose_edge.errors import DataError, ImageError
from erpose_edge.skeleton import COCO_17

PLACES = [(40, 40), (80, 30), (120, 45)]
VARIED = AugmentationConfig(mosaic=0.5, paste=0.5)
PLAIN = AugmentationConfig(mosaic=0, paste=0, value=0, saturation=0, hue=0, scale=(1, 1))


class Pictures:
    """A source of pictures of one grey each; ``bad`` ones cannot be read."""

    def __init__(self, greys, bad=()):
        self.rejected = []
        self.greys, self.bad = greys, bad

    def __len__(self):
        return len(self.greys)

    def sample(self, index):
        if index in self.bad:
            raise ImageError(f"{index}.jpg: expected a picture, got none")
        sample = dotted_sample(PLACES)
        sample.image[:] = self.greys[index]
        return sample


def training_set(sources, augmentation=VARIED, *, seed=0, count=0):
    return TrainingSet(sources, augmentation, (64, 96), COCO_17, seed, count)


def assert_equal(ours, theirs):
    for name in Sample.__dataclass_fields__:
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_a_sample_depends_on_nothing_but_its_place():
    sources = [(Pictures(range(100, 110)), 1.0)]
    first, second = training_set(sources), training_set(sources)
    for position in (5, 2):  # in whatever order they are made
        first.sample(0, position, 1, mosaic=True)
    assert_equal(first.sample(1, 3, 4, mosaic=True), second.sample(1, 3, 4, mosaic=True))


@pytest.mark.parametrize("change", ["seed", "epoch", "position"])
def test_seed_epoch_and_position_change_it(change):
    sources = [(Pictures(range(100, 110)), 1.0)]
    place = {"seed": 0, "epoch": 0, "position": 0}
    images = []
    for value in (0, 1):
        now = place | {change: value}
        made = training_set(sources, seed=now["seed"])
        images.append(made.sample(now["epoch"], now["position"], 4, mosaic=True).image)
    assert not np.array_equal(*images)


def test_an_epoch_is_every_image_once_in_another_order_each_time():
    made = training_set([(Pictures(range(7)), 1.0), (Pictures(range(5)), 1.0)])
    orders = [made.order(epoch) for epoch in range(4)]
    assert made.samples_per_epoch == 12
    for order in orders:
        assert sorted(order.tolist()) == list(range(12))
    assert all(a.tolist() != b.tolist() for a, b in itertools.pairwise(orders))
    assert made.order(2).tolist() == orders[2].tolist()


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    weights=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    count=st.integers(1, 60),
    epoch=st.integers(0, 100),
)
def test_images_come_up_within_one_of_their_fair_number(sizes, weights, count, epoch):
    sources = [(Pictures(range(n)), w) for n, w in zip(sizes, weights, strict=False)]
    order = training_set(sources, count=count).order(epoch)
    shares = np.repeat(weights[: len(sizes)], sizes)
    fair = count * shares / shares.sum()
    assert len(order) == count
    assert (np.abs(np.bincount(order, minlength=sum(sizes)) - fair) < 1 + 1e-6).all()


def test_an_unreadable_image_is_replaced_by_another():
    made = training_set([(Pictures([60, 70, 80], bad={1}), 1.0)], PLAIN)
    greys = {int(made.sample(0, p, 1, mosaic=True).image[32, 48, 0]) for p in range(20)}
    assert greys == {60, 80}
    assert_equal(made.sample(0, 7, 1, mosaic=True), made.sample(0, 7, 1, mosaic=True))


def test_mosaics_survive_unreadable_images():
    mosaics = AugmentationConfig(mosaic=1, paste=1)
    made = training_set([(Pictures(range(100, 106), bad={0, 2, 4}), 1.0)], mosaics)
    for position in range(10):
        assert made.sample(0, position, position % 6, mosaic=True).image.shape == (64, 96, 3)


def test_nothing_but_unreadable_images_is_a_data_error():
    made = training_set([(Pictures([0, 0], bad={0, 1}), 1.0)])
    with pytest.raises(DataError, match=r"expected readable images, got 20 bad ones: .*jpg"):
        made.sample(0, 0, 0, mosaic=True)


def test_indices_run_through_all_sources():
    made = training_set([(Pictures([60]), 1.0), (Pictures([70, 80]), 5.0)], PLAIN)
    greys = [int(made.sample(0, 0, i, mosaic=True).image[32, 48, 0]) for i in range(3)]
    assert greys == [60, 70, 80]


def test_an_image_of_weight_0_is_never_drawn():
    mosaics = AugmentationConfig(mosaic=1, paste=1)
    greys = Pictures([60, 70, 80, 90], bad={0, 2, 3})  # whoever draws one of those would tell
    made = training_set([(greys, np.array([0.0, 1.0, 0.0, 0.0]))], mosaics)
    assert made.samples_per_epoch == 1
    made = training_set([(greys, np.array([0.0, 1.0, 0.0, 0.0]))], mosaics, count=50)
    assert set(made.order(0).tolist()) == {1}
    greys.sample = lambda index: drawn.append(index) or Pictures.sample(greys, 1)
    drawn = []
    for position in range(20):
        made.sample(0, position, 1, mosaic=True)
    assert set(drawn) == {1}


def test_nothing_to_draw_is_a_data_error():
    with pytest.raises(DataError, match="expected an image to draw, got weight 0 for all"):
        training_set([(Pictures([1, 2]), 0.0)])

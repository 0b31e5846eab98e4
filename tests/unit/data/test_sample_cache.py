"""The cache: what it gives is what was put in, in every process; data do not depend on it."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import K, dotted_sample, small_config

from erpose_edge.config import AugmentationConfig
from erpose_edge.data.augmentation import useful_size
from erpose_edge.data.sample import Sample, shrink
from erpose_edge.data.sample_cache import SampleCache, free_memory_bytes, plan_cache
from erpose_edge.training.session import open_training_set

PLACES = [(40, 40), (80, 30), (120, 45)]
EXTENT = (120, 160, 2)  # of dotted_sample, with room for two people
PLENTY = 10**9


def assert_equal(ours, theirs):
    for field in fields(Sample):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        assert a.dtype == b.dtype, field.name
        assert np.array_equal(a, b), field.name


def cache_of(count, budget=PLENTY, weights=None):
    sizes = np.array([EXTENT] * count, np.int64)
    weights = np.ones(count) if weights is None else np.array(weights)
    return SampleCache(plan_cache(sizes, weights, K, budget))


def people(sample, count):
    """The sample with its only person ``count`` times."""
    rest = {f.name: np.repeat(getattr(sample, f.name), count, 0) for f in fields(Sample)[1:]}
    return replace(sample, **rest)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_sample_comes_back_as_it_was_put_in(count):
    cache = cache_of(3)
    sample = people(dotted_sample(PLACES), count)
    cache.put(1, sample)
    assert_equal(cache.get(1), sample)
    assert cache.get(0) is None
    assert cache.get(2) is None


def test_neighbours_do_not_touch():
    cache = cache_of(3)
    for index, value in enumerate((10, 20, 30)):
        sample = people(dotted_sample(PLACES), 2)
        cache.put(index, replace(sample, image=np.full_like(sample.image, value)))
    for index, value in enumerate((10, 20, 30)):
        assert (cache.get(index).image == value).all()
        assert len(cache.get(index).areas) == 2


def test_a_sample_of_another_size_or_with_too_many_people_is_not_kept():
    cache = cache_of(2)
    cache.put(0, people(dotted_sample(PLACES), 3))
    cache.put(1, dotted_sample(PLACES, (64, 96)))
    assert cache.get(0) is None
    assert cache.get(1) is None


def test_a_kept_image_cannot_be_written_to():
    cache = cache_of(1)
    cache.put(0, dotted_sample(PLACES))
    with pytest.raises(ValueError, match="read-only"):
        cache.get(0).image[:] = 0


@settings(max_examples=50, deadline=None)
@given(
    sides=st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=8),
    budget=st.integers(0, 200_000),
    seed=st.integers(0, 99),
)
def test_places_lie_apart_within_the_budget_and_the_often_drawn_come_first(sides, budget, seed):
    weights = np.random.default_rng(seed).choice([0.5, 1.0, 3.0], len(sides))
    sizes = np.array([(*s, 1) for s in sides], np.int64)
    plan = plan_cache(sizes, weights, K, budget)
    kept = plan.offsets >= 0
    assert plan.total <= budget
    starts = plan.offsets[kept]
    ends = starts + sizes[kept, 0] * sizes[kept, 1] * 3
    order = np.argsort(starts)
    assert (starts[order][1:] >= ends[order][:-1]).all()
    assert (starts >= len(sides)).all()  # in front: a byte an image
    assert (ends <= plan.total).all()
    if kept.any() and not kept.all():
        assert weights[kept].min() >= weights[~kept].max()


def _put_in_child(cache, index):
    cache.put(index, dotted_sample(PLACES))


@pytest.mark.slow
def test_what_one_process_puts_in_another_gets():
    cache = cache_of(2)
    child = multiprocessing.get_context("spawn").Process(target=_put_in_child, args=(cache, 1))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert_equal(cache.get(1), dotted_sample(PLACES))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")  # noqa: PTH112
def test_a_cache_is_opened_by_its_address():
    cache = cache_of(1)
    SampleCache.of(cache.plan, cache.address).put(0, dotted_sample(PLACES))
    assert_equal(cache.get(0), dotted_sample(PLACES))


LARGE = "data.train=[{kind: generated, count: 8, seed: 1, size: [160, 192]}]"  # gets shrunk


@pytest.mark.parametrize(("budget", "source"), [(PLENTY, ()), (60_000, ()), (PLENTY, (LARGE,))])
def test_the_data_do_not_depend_on_the_cache(budget, source):
    varied = ["data.augmentation.mosaic=0.7", "data.augmentation.paste=0.5"]
    config = small_config(*varied, *source)
    plain, kept = (open_training_set(config, config.training, lambda _: None) for _ in range(2))
    kept.cache = SampleCache(kept.plan_cache(budget))
    assert 0 < kept.cache.plan.kept <= 8
    assert (kept.cache.plan.kept == 8) == (budget == PLENTY)
    for epoch in range(2):
        for position, index in enumerate(plain.order(epoch)):
            ours, theirs = (
                s.sample(epoch, position, int(index), mosaic=True) for s in (kept, plain)
            )
            assert_equal(ours, theirs)


def test_the_second_time_no_image_is_read(monkeypatch):
    config = small_config()
    training_set = open_training_set(config, config.training, lambda _: None)
    training_set.cache = SampleCache(training_set.plan_cache(PLENTY))
    first = [training_set.sample(0, p, p, mosaic=False) for p in range(8)]
    monkeypatch.setattr(training_set, "_sources", None)
    for position, expected in enumerate(first):
        assert_equal(training_set.sample(0, position, position, mosaic=False), expected)


@pytest.mark.parametrize(
    ("image", "zoom", "expected"),
    [
        ((480, 640), 1.0, (240, 320)),  # twice as large as ever shown
        ((480, 640), 1.01, (480, 640)),  # not twice
        ((3000, 4000), 1.4, (375, 500)),
        ((101, 203), 0.5, (51, 102)),  # rounded up
        ((100, 100), 1.0, (100, 100)),
    ],
)
def test_an_image_is_kept_as_large_as_the_largest_zoom_shows_it(image, zoom, expected):
    size = (101, 203) if image == (101, 203) else (320, 320)
    config = AugmentationConfig(scale=(0.3, zoom))
    assert useful_size(image, size, config) == expected


def test_a_shrunk_image_has_its_people_in_place():
    y, x = np.mgrid[:300, :400].astype(np.float64)
    places = np.array([(100.0, 120.0), (220.0, 60.0), (300.0, 210.0)])
    dots = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 6.0**2)) for px, py in places]
    image = np.repeat((255 * np.max(dots, 0))[..., None], 3, 2).astype(np.uint8)
    sample = replace(dotted_sample(places.tolist()), image=image)
    small = shrink(sample, (100, 134))
    for place in small.keypoints[0, :3]:
        left, top = np.round(place).astype(int) - 8
        moments = cv2.moments(small.image[top : top + 17, left : left + 17, 0])
        found = np.array([moments["m10"], moments["m01"]]) / moments["m00"] + (left, top)
        assert np.abs(found - place).max() < 0.1
    assert small.areas[0] == pytest.approx(sample.areas[0] * (100 / 300) * (134 / 400), rel=1e-5)


def test_free_memory_is_the_machines_or_what_the_container_has_left(tmp_path):
    assert free_memory_bytes(tmp_path) == 0
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    assert free_memory_bytes(tmp_path) == 5000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1000000\n")
    (group / "memory.max").write_text("max\n")
    assert free_memory_bytes(tmp_path) == 5000 * 1024
    (group / "memory.max").write_text("3000000\n")
    assert free_memory_bytes(tmp_path) == 2000000

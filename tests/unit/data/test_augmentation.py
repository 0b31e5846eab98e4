"""Augmentation moves labels with the picture, and its only chance is the generator's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import dot_near, dotted_sample

from erpose_edge.config import AugmentationConfig
from erpose_edge.data.augmentation import augment, paste_person
from erpose_edge.data.sample import HIDDEN, VISIBLE, Sample
from erpose_edge.skeleton import COCO_17

PIXEL = 1.0
PLACES = [(40, 40), (80, 30), (120, 45), (45, 85), (85, 90), (115, 80)]
SIZE = (128, 192)
PLAIN = AugmentationConfig(
    mosaic=0, paste=0, mirror=0, rotate_deg=0, scale=(1.0, 1.0), translate=0,
    hue=0, saturation=0, value=0,
)  # fmt: skip
VARIED = AugmentationConfig(mosaic=0.5, paste=0, mirror=0.5, rotate_deg=25, scale=(0.8, 1.3))


def never(_):
    raise AssertionError("drew another sample")


def augmented(seed, config, first=None, draw=None, *, mosaic=True):
    first = first or dotted_sample(PLACES)
    rng = np.random.default_rng(seed)
    draw = draw or (lambda _: dotted_sample(PLACES[1:]))
    return augment(first, draw, rng, config, SIZE, COCO_17, mosaic=mosaic)


def assert_equal(ours, theirs):
    for name in Sample.__dataclass_fields__:
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def assert_dots_are_met(sample):
    """Every visible keypoint whose dot stands free has the dot under it; return how many."""
    met = 0
    visible = sample.keypoints[sample.flags == VISIBLE]
    for place in visible:
        free = np.sort(np.linalg.norm(visible - place, axis=1))[1:2]
        around = sample.image[
            max(int(place[1]) - 9, 0) : int(place[1]) + 10,
            max(int(place[0]) - 9, 0) : int(place[0]) + 10,
        ]
        # Padding (114) and tile borders would weigh like dots.
        edge = np.concatenate([around[0], around[-1], around[:, 0], around[:, -1]])
        if around.shape[:2] == (19, 19) and edge.max() < 8 and (free.size == 0 or free[0] > 20):
            met += 1
            assert np.linalg.norm(dot_near(sample.image, place) - place) < PIXEL
    return met


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_keypoints_follow_their_dots(mosaic):
    config = VARIED.model_copy(update={"mosaic": mosaic, "hue": 0, "saturation": 0, "value": 0})
    assert sum(assert_dots_are_met(augmented(seed, config)) for seed in range(20)) > 20


def test_without_variation_the_picture_is_fitted_and_centred():
    sample = augmented(0, PLAIN, draw=never)
    scale = SIZE[0] / 120
    expected = np.array(PLACES) * scale + (np.array(SIZE[::-1]) - scale * np.array([160, 120])) / 2
    np.testing.assert_allclose(sample.keypoints[0, : len(PLACES)], expected, atol=1e-3)
    assert sample.areas[0] == pytest.approx(dotted_sample(PLACES).areas[0] * scale**2, rel=1e-5)
    assert sample.image.shape == (*SIZE, 3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_sample(seed):
    config = VARIED.model_copy(update={"paste": 0.5})
    assert_equal(augmented(seed, config), augmented(seed, config))


def test_a_mosaic_shows_four_samples_each_in_its_own_window():
    config = PLAIN.model_copy(update={"mosaic": 1.0})
    drawn = []

    def draw(_):
        drawn.append(dotted_sample(PLACES))
        return drawn[-1]

    sample = augmented(0, config, draw=draw)
    assert len(drawn) == 3
    assert 2 <= len(sample.flags) <= 4
    assert assert_dots_are_met(sample) > 0
    for keypoints, flags, box in zip(sample.keypoints, sample.flags, sample.boxes, strict=True):
        inside = keypoints[flags > 0]
        assert (inside >= box[:2] - 1e-3).all()
        assert (inside <= box[2:] + 1e-3).all()


def test_mosaics_can_be_switched_off_for_the_last_epochs():
    config = PLAIN.model_copy(update={"mosaic": 1.0})
    assert_equal(augmented(0, config, draw=never, mosaic=False), augmented(0, PLAIN, draw=never))


def test_colour_leaves_geometry_alone():
    colourful = PLAIN.model_copy(update={"hue": 0.5, "saturation": 1.0, "value": 1.0})
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    first = replace(dotted_sample(PLACES), image=image)
    plain, changed = (augmented(3, c, first, never) for c in (PLAIN, colourful))
    assert not np.array_equal(plain.image, changed.image)
    assert_equal(replace(plain, image=changed.image), changed)


def test_more_brightness_is_brighter_everywhere():
    config = PLAIN.model_copy(update={"value": 0.5})
    first = replace(dotted_sample(PLACES), image=np.full((120, 160, 3), 100, np.uint8))
    means = {int(augmented(seed, config, first, never).image[60, 80, 0]) for seed in range(10)}
    assert min(means) < 90
    assert max(means) > 110
    assert all(50 <= mean <= 150 for mean in means)


def standing(left, top, height, value):
    """A person in a flat picture of grey ``value``, every keypoint in a column of a body."""
    fractions = {"nose": 0.05, "eye": 0.03, "ear": 0.05, "shoulder": 0.2, "elbow": 0.35,
                 "wrist": 0.5, "hip": 0.5, "knee": 0.75, "ankle": 0.95}  # fmt: skip
    places = []
    for name in COCO_17.keypoints:
        side = {"left": 1.0, "right": -1.0}.get(name.split("_")[0], 0.0)
        width = 0.15 if name.split("_")[-1] in ("shoulder", "elbow", "wrist") else 0.1
        part = fractions[name.split("_")[-1]]
        places.append((left + side * width * height, top + part * height))
    sample = dotted_sample(places)
    area = np.array([0.3 * height**2], np.float32)
    return replace(sample, image=np.full((120, 160, 3), value, np.uint8), areas=area)


def pasted(seed=0, other=None):
    below = standing(80, 15, 90, 40)
    newcomer = standing(80, 15, 90, 220) if other is None else other
    rng = np.random.default_rng(seed)
    return below, paste_person(below, newcomer, rng, PLAIN, COCO_17)


def test_the_newcomer_stands_in_front_and_hides_what_it_covers():
    hidden = 0
    for seed in range(10):
        below, sample = pasted(seed)
        assert len(sample.flags) == 2
        assert np.array_equal(sample.keypoints[0], below.keypoints[0])
        for (x, y), flag in zip(sample.keypoints[0].astype(int), sample.flags[0], strict=True):
            assert flag == (HIDDEN if sample.image[y, x, 0] > 130 else VISIBLE)
            hidden += flag == HIDDEN
        seen = sample.flags[1] == VISIBLE
        x, y = sample.keypoints[1][seen].astype(int).T
        assert (sample.image[y, x, 0] > 130).mean() > 0.9  # its own keypoints lie on it
    assert hidden > 10


def test_without_a_person_to_cut_out_nothing_is_pasted():
    few = dotted_sample(PLACES)  # six labelled keypoints
    ignored = replace(standing(80, 15, 90, 220), ignored=np.ones(1, bool))
    nobody = Sample(
        few.image, *(getattr(few, n)[:0] for n in list(Sample.__dataclass_fields__)[1:])
    )
    for other in (few, ignored, nobody):
        below, sample = pasted(other=other)
        assert sample is below


def test_a_picture_without_people_is_augmented_too():
    one = dotted_sample(PLACES)
    nobody = Sample(
        one.image, *(getattr(one, n)[:0] for n in list(Sample.__dataclass_fields__)[1:])
    )
    config = VARIED.model_copy(update={"mosaic": 1.0, "paste": 1.0})
    sample = augmented(0, config, nobody, lambda _: nobody)
    assert sample.keypoints.shape == (0, 17, 2)
    assert sample.image.shape == (*SIZE, 3)

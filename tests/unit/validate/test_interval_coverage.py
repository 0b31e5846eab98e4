"""A 95 % interval holds the truth about 19 times in 20, on sets drawn from one population."""

from __future__ import annotations

import numpy as np
import pytest
from scored_people import crowd, noisy_poses

from erpose_edge.metrics.keypoint_ap import match_poses
from erpose_edge.metrics.outcomes import Outcomes
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.retention import Interval, drawn_ap, retention_of

POPULATION, SETS, IMAGES, DRAWS = 1500, 160, 80, 160
# Of 160 sets the share that holds has a standard error of 1.7 %; the interval of so few images is
# a little too narrow, as bootstrap intervals are.
COVERAGE = (0.88, 0.99)


def outcomes_of(images, noise_px, seed):
    rng = np.random.default_rng(seed)
    poses = {i.image_id: noisy_poses(i, rng, noise_px) for i in images}
    return Outcomes.of(match_poses(images, poses, COCO_17))


def of_images(outcomes, chosen):
    """Return the outcomes of a set of images, some of them perhaps twice."""
    bounds = np.searchsorted(outcomes.image, np.arange(len(outcomes.people) + 1))
    places = [np.arange(bounds[i], bounds[i + 1]) for i in chosen]
    image = np.repeat(np.arange(len(chosen)), [len(place) for place in places])
    poses = np.concatenate(places)
    return Outcomes(
        image,
        outcomes.scores[poses],
        outcomes.right[:, :, poses],
        outcomes.ignored[:, :, poses],
        outcomes.people[chosen],
    )


@pytest.fixture(scope="module")
def drawn_sets():
    """The truth of two networks, and what sets of images say of them."""
    rng = np.random.default_rng(3)
    images = [crowd(i, rng) for i in range(POPULATION)]
    pair = outcomes_of(images, 6, 1), outcomes_of(images, 7, 2)
    truth = [drawn_ap(of_network, 1).value for of_network in pair]
    sets = []
    for seed in range(SETS):
        chosen = rng.integers(0, POPULATION, IMAGES)
        sets.append([drawn_ap(of_images(part, chosen), DRAWS, seed) for part in pair])
    return truth, sets


def holds(interval, truth):
    return interval.low <= truth <= interval.high


@pytest.mark.slow
def test_the_intervals_of_ap_retention_and_difference_hold_the_truth(drawn_sets):
    (reference, other), sets = drawn_sets
    held = np.zeros(3)
    for theirs, ours in sets:
        found = retention_of(ours, theirs)
        held += (
            holds(ours.interval, other),
            holds(found, other / reference),
            holds(found.difference, other - reference),
        )
    assert (held / SETS >= COVERAGE[0]).all(), held / SETS
    assert (held / SETS <= COVERAGE[1]).all(), held / SETS


@pytest.mark.slow
def test_percentiles_of_the_draws_hold_it_too_seldom(drawn_sets):
    (_, other), sets = drawn_sets
    ends = [np.percentile(ours.draws, (2.5, 97.5)) for _, ours in sets]
    assert np.mean([low <= other <= high for low, high in ends]) < COVERAGE[0]


def test_an_interval_mirrors_the_draws_and_stays_where_numbers_can_be():
    draws = np.linspace(0.4, 0.8, 4001)
    found = Interval.of(0.5, draws)
    assert (found.low, found.high) == (pytest.approx(0.21, abs=1e-3), pytest.approx(0.59, abs=1e-3))
    assert Interval.of(0.1, draws).low == 0  # 0.2 - 0.79 is no AP
    assert Interval.of(0.95, draws).high == 1
    assert Interval.of(0.1, draws, least=-1).low == pytest.approx(-0.59, abs=1e-3)
    assert Interval.of(0.3, draws).high == 0.3  # the number itself is inside
    assert Interval.of(0.5, np.full(3, np.nan)) == Interval(0.5, 0.5, 0.5)

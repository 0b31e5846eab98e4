"""The promises of the keypoint-driven assignment.

Against the same rule written out slowly: ``tests/parity/test_assignment_reference.py``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import INPUT_SIZE, POINTS, SIGMAS, STRIDES, K, guesses, people_at
from torch.utils._python_dispatch import TorchDispatchMode

from erpose_edge.config import NetworkConfig
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.oks import oks
from erpose_edge.network.decode import grid_points
from erpose_edge.network.pose_network import ERPose, Predictions, predictions
from erpose_edge.training.assignment import (
    Assignment,
    AssignmentRule,
    alignment,
    assign,
    claim,
)
from erpose_edge.training.log_oks import log_oks, oks_weights, rows_of

RULE = AssignmentRule(topk=4)
TWO_IMAGES = [[(20.7, 21.9), (44.9, 38.6), (30.3, 36.4)], [(41.1, 25.3)]]  # no two as near


def test_log_oks_is_the_metrics_oks():
    people = people_at(TWO_IMAGES[:1])
    people.labelled[0, 1, :6] = False
    guess = guesses(people)
    points = torch.cat([people.keypoints[0], people.labelled[0, ..., None] * 2.0], -1).numpy()
    count = len(points)
    labels = ImageLabels(
        1, "", 64, 64, points, boxes=points[:, :2].reshape(count, -1)[:, :4],
        areas=people.areas[0].double().numpy(), ignore=people.present[0].numpy(),
        annotation_ids=people.areas[0].long().numpy(),
    )  # fmt: skip
    expected = oks(guess.keypoints[0].numpy(), labels, SIGMAS.double().numpy())
    rows = rows_of(people)
    found = log_oks(guess.keypoints, rows, oks_weights(rows.areas, SIGMAS)).exp().T
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), atol=1e-5, rtol=1e-4)


def test_nobody_is_all_background():
    people = people_at([[], []])
    result = assign(guesses(people), people, POINTS, STRIDES, SIGMAS, RULE)
    assert not result.positive.any()
    assert result.score.sum() == result.weight.sum() == result.person.sum() == 0
    assert result.counted.all()


def test_padding_beside_a_crowded_image_takes_no_grid_point():
    people = people_at([[(20, 20), (44, 40), (30, 36)], []])
    result = assign(guesses(people), people, POINTS, STRIDES, SIGMAS, RULE)
    assert result.positive[0].any()
    assert not result.positive[1].any()


def test_ignored_people_are_neither_person_nor_background():
    box = (32.0, 0.0, 64.0, 40.0)
    people = people_at([[(12, 50)], [(12, 50)]], ignored=[box])
    result = assign(guesses(people), people, POINTS, STRIDES, SIGMAS, RULE)
    x, y = POINTS.T
    inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    assert torch.equal(result.counted[0], ~inside | result.positive[0])
    assert result.counted[1].all()


def test_a_person_in_front_of_a_crowd_still_counts():
    people = people_at([[(32, 32)]], ignored=[(0.0, 0.0, 64.0, 64.0)])
    result = assign(guesses(people), people, POINTS, STRIDES, SIGMAS, RULE)
    assert torch.equal(result.counted, result.positive)
    assert result.positive.sum() == RULE.topk


@pytest.mark.parametrize("noise", [0.3, 30.0, 1e4])
def test_log_oks_is_exact_in_float32_near_and_far(noise):
    people = people_at(TWO_IMAGES)
    people.labelled[0, 1, :6] = False
    guess = guesses(people, noise=noise)
    rows = rows_of(people)
    found = log_oks(guess.keypoints, rows, oks_weights(rows.areas, SIGMAS)).double()
    poses, places = guess.keypoints[rows.image].double(), people.keypoints[rows.image, rows.person]
    squared = (poses - places[:, None].double()).square().sum(-1)  # (P, G, K)
    exponents = -squared / (2 * rows.areas[:, None, None] * (2 * SIGMAS.double()).square())
    exponents = exponents.masked_fill(~rows.labelled.T[:, None], -torch.inf)
    expected = exponents.logsumexp(-1) - rows.labelled.sum(0)[:, None].double().log()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-6)


class Watched(TorchDispatchMode):
    """Counts operations, and notes the largest tensor that one gives."""

    def __init__(self):
        super().__init__()
        self.operations, self.largest = 0, 0

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        result = operation(*arguments, **(keywords or {}))
        self.operations += 1
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


def test_a_hundred_people_at_8400_grid_points_take_little_memory():
    points, strides = grid_points((640, 640))
    people = people_at([[(x, y) for x in range(20, 620, 60) for y in range(20, 620, 60)]])
    poses = torch.zeros(1, len(points), K, 2) + points[:, None]
    guess = Predictions(torch.zeros(1, len(points)), poses, torch.zeros(1, len(points), K))
    with Watched() as watched:
        result = assign(guess, people, points, strides, SIGMAS, AssignmentRule(10, prior=0.5))
    assert result.positive.any()
    pairs = 100 * len(points)
    assert watched.largest <= pairs  # and not the 17 times as many of all keypoints at once


def test_more_people_and_images_take_no_more_operations():
    found = set()
    for count, images in ((2, 1), (40, 1), (10, 4)):
        people = people_at([[(32.0 + i, 30.0) for i in range(count)]] * images)
        guess = guesses(people)
        with Watched() as watched:
            assign(guess, people, POINTS, STRIDES, SIGMAS, RULE)
        found.add(watched.operations)
    assert len(found) == 1


@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_a_grid_point_that_two_people_want_goes_to_the_pose_it_meets_best(prior):
    people = people_at([[(28, 28), (29, 29)]])  # the prior alone would choose the first
    keypoints = torch.full((1, len(POINTS), 17, 2), -500.0)
    scores = torch.full((1, len(POINTS)), -4.0)
    keypoints[0, 27] = people.keypoints[0, 1] + 0.3  # both people's best
    scores[0, 27] = 4
    guess = Predictions(scores, keypoints, torch.zeros(1, len(POINTS), 17))
    rule = AssignmentRule(topk=1, prior=prior)
    result = assign(guess, people, POINTS, STRIDES, SIGMAS, rule)
    assert result.positive[0, 27]
    assert result.person[0, 27] == 1
    assert result.positive.sum() == 2  # the other person gets its second choice


def test_who_loses_all_its_grid_points_gets_its_next_best():
    people = people_at([[(30, 30), (30, 30), (30, 30)]])
    metric = torch.full((1, 3, len(POINTS)), -9.0)
    metric[0, :, [5, 6, 7]] = torch.tensor([3.0, 2.0, 1.0])  # all three want 5, then 6, then 7
    quality = torch.tensor([-3.0, -1.0, -2.0])[None, :, None].expand_as(metric)
    result = claim(metric, quality, people, POINTS, AssignmentRule(1))
    assert result.positive[0].nonzero().flatten().tolist() == [5, 6, 7]
    assert result.person[0, [5, 6, 7]].tolist() == [1, 2, 0]
    assert result.weight[0, [5, 6, 7]].tolist() == [1, 1, 1]


def test_a_metric_however_low_is_no_ban():
    people = people_at([[(30, 30)], [(30, 30)]], size=1.0)
    guess = guesses(people)
    guess.keypoints.add_(1e5)
    rows = rows_of(people)
    lowest = alignment(guess, rows, SIGMAS, RULE)
    assert lowest.max() < -1e10
    result = assign(guess, people, POINTS, STRIDES, SIGMAS, RULE)
    assert result.positive.sum(1).tolist() == [RULE.topk, RULE.topk]
    assert torch.isfinite(result.weight).all()


@pytest.mark.parametrize("prior", [0.0, 0.5])
def test_a_pose_that_is_not_a_number_shows_in_the_targets(prior):
    people = people_at([[(30, 30)]])
    guess = guesses(people)
    guess.keypoints[0, 40] = torch.nan
    rule = AssignmentRule(4, prior=prior)
    result = assign(guess, people, POINTS, STRIDES, SIGMAS, rule)
    assert not torch.isfinite(result.score).all()


def spread_of(size, error, contrast):
    """How far a person's best grid point is above its tenth, poses wrong by about ``error`` px."""
    people = people_at([[(32, 32)]], size=size)
    guess = guesses(people, noise=error)
    guess.scores.zero_()
    rule = AssignmentRule(10, contrast=contrast)
    metric = alignment(guess, rows_of(people), SIGMAS, rule)[0].sort(descending=True).values
    return float((metric[0] - metric[9]).exp())


def test_a_large_persons_grid_points_are_told_apart():
    # A dozen pixels are much to a small person and little to a large one.
    assert spread_of(30, 12.0, 1.0) > 15
    assert spread_of(300, 12.0, 1.0) < 1.15
    assert spread_of(300, 12.0, 2.0) == pytest.approx(2, rel=1e-3)
    assert spread_of(300, 12.0, 3.0) == pytest.approx(3, rel=1e-3)


def test_contrast_leaves_alone_what_is_told_apart_already():
    assert spread_of(30, 12.0, 2.0) == spread_of(30, 12.0, 1.0)


def test_contrast_does_not_rank_rounding_errors():
    people = people_at([[(32, 32)]])
    guess = guesses(people, noise=1e-3)
    metric = alignment(guess, rows_of(people), SIGMAS, AssignmentRule(10, contrast=4.0))
    score = torch.nn.functional.logsigmoid(guess.scores) * 0.5
    torch.testing.assert_close(metric, score, atol=1e-3, rtol=0)


@settings(max_examples=25, deadline=None)
@given(size=st.floats(20, 400), error=st.floats(0.5, 30), contrast=st.floats(1, 6))
def test_contrast_keeps_the_order_of_poses(size, error, contrast):
    people = people_at([[(32, 32)]], size=size)
    guess = guesses(people, noise=error)
    guess.scores.zero_()
    plain, sharp = (
        alignment(guess, rows_of(people), SIGMAS, AssignmentRule(10, contrast=c))[0]
        for c in (1.0, contrast)
    )
    assert torch.equal(plain.argsort(stable=True), sharp.argsort(stable=True))


def test_an_untrained_network_gives_each_person_a_grid_point_near_it():
    torch.manual_seed(0)
    network = ERPose(NetworkConfig(scale="n"), 17).eval()
    with torch.no_grad():
        guess = predictions(network(torch.rand(1, 3, *INPUT_SIZE)), INPUT_SIZE)
    centres = [(12, 14), (50, 44)]
    people = people_at([centres], size=10.0)
    rule = AssignmentRule(topk=1, prior=1.0)
    result = assign(guess, people, POINTS, STRIDES, SIGMAS, rule)
    for n, centre in enumerate(centres):
        (point,) = (result.positive[0] & (result.person[0] == n)).nonzero().flatten().tolist()
        assert math.dist(POINTS[point].tolist(), centre) <= 8
        assert result.score[0, point] == 1


def test_without_the_prior_far_poses_are_still_ranked_by_distance():
    people = people_at([[(32, 32)]], size=8.0)
    keypoints = people.keypoints[:, :1].expand(1, len(POINTS), 17, 2).clone()
    keypoints += 40 + torch.arange(len(POINTS)).flip(0)[:, None, None]  # the last is the nearest
    guess = Predictions(
        torch.zeros(1, len(POINTS)), keypoints, torch.zeros(1, len(POINTS), 17)
    )  # OKS in float32 is 0 everywhere
    rows = rows_of(people)
    assert (log_oks(guess.keypoints, rows, oks_weights(rows.areas, SIGMAS)).exp() == 0).all()
    result = assign(guess, people, POINTS, STRIDES, SIGMAS, RULE)
    expected = list(range(len(POINTS) - RULE.topk, len(POINTS)))
    assert result.positive[0].nonzero().flatten().tolist() == expected


def test_the_prior_fades_as_its_share_falls():
    people = people_at([[(20, 20)]])
    guess = guesses(people, noise=0.5)
    far = int((POINTS - torch.tensor([60.0, 60.0])).norm(dim=-1).argmin())
    guess.keypoints[0, far] = people.keypoints[0, 0]  # the only perfect pose, far from the person
    guess.scores[0, far] = 5

    def chosen(prior):
        rule = AssignmentRule(topk=1, prior=prior)
        return int(assign(guess, people, POINTS, STRIDES, SIGMAS, rule).positive[0].nonzero())

    assert chosen(0.0) == far
    assert math.dist(POINTS[chosen(1.0)].tolist(), (20, 20)) <= 8
    assert chosen(1.0) != far


@pytest.mark.parametrize(("size", "stride"), [(68.0, 8.0), (136.0, 16.0), (272.0, 32.0)])
def test_the_prior_puts_people_on_the_level_of_their_size(size, stride):
    people = people_at([[(32, 32)]], size=size)
    rule = AssignmentRule(topk=1, prior=1.0)
    result = assign(guesses(people), people, POINTS, STRIDES, SIGMAS, rule)
    assert STRIDES[result.positive[0]].tolist() == [stride]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    hidden=st.sets(st.integers(0, 16), max_size=16),
    move=st.floats(-1e4, 1e4),
    prior=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_an_unlabelled_keypoint_has_no_influence(seed, hidden, move, prior):
    people = people_at(TWO_IMAGES, seed=seed)
    guess = guesses(people, seed=seed)
    people.labelled[:, :, list(hidden)] = False
    elsewhere = people.keypoints.clone()
    elsewhere[:, :, list(hidden)] += move
    rule = AssignmentRule(topk=3, prior=prior)
    ours = assign(guess, people, POINTS, STRIDES, SIGMAS, rule)
    moved = replace(people, keypoints=elsewhere)
    theirs = assign(guess, moved, POINTS, STRIDES, SIGMAS, rule)
    for name in Assignment.__dataclass_fields__:
        assert torch.equal(getattr(ours, name), getattr(theirs, name))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), topk=st.integers(1, 12), prior=st.floats(0, 1))
def test_targets_are_in_range_and_each_persons_best_weighs_one(seed, topk, prior):
    people = people_at(TWO_IMAGES, seed=seed)
    rule = AssignmentRule(topk, prior=prior)
    result = assign(guesses(people, seed=seed), people, POINTS, STRIDES, SIGMAS, rule)
    for values in (result.score, result.weight):
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6
        assert (values[~result.positive] == 0).all()
    for b, n in people.present.nonzero().tolist():
        own = result.positive[b] & (result.person[b] == n)
        assert own.sum() <= topk
        if own.any():
            assert result.weight[b][own].max() == 1

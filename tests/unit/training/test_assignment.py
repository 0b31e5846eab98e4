"""Keypoint-driven assignment against the same rule written out slowly, and its promises."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import INPUT_SIZE, POINTS, SIGMAS, STRIDES, guesses, people_at

from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.oks import oks
from erpose_edge.network.pose_network import ERPose, Predictions, predictions
from erpose_edge.training.assignment import Assignment, AssignmentRule, assign, log_oks

RULE = AssignmentRule(topk=4)
TWO_IMAGES = [[(20.7, 21.9), (44.9, 38.6), (30.3, 36.4)], [(41.1, 25.3)]]  # no two as near
CLOSE = 2e-4


def slow_oks(pose, target, labelled, area, widen=1.0):
    """OKS of one pose with one person, as COCO defines it, with sigmas ``widen`` times as wide."""
    total = 0.0
    for k in range(len(SIGMAS)):
        if labelled[k]:
            squared = sum(float(pose[k][i] - target[k][i]) ** 2 for i in (0, 1))
            total += math.exp(-squared / (2 * area * (2 * widen * float(SIGMAS[k])) ** 2))
    return total / max(1, int(labelled.sum()))


def slow_prior(target, labelled, area, point, stride):
    centre = target[labelled].mean(0)
    size = math.sqrt(area)
    distance = math.dist(centre.tolist(), point.tolist())
    level = math.log2(size / (stride * 12 / math.sqrt(2)))
    return -((distance / (0.3 * size)) ** 2) / 2 - level**2


def slow_assign(guess, people, rule):
    """Return (person, score, weight, counted) of every grid point, by plain loops."""
    answers = []
    for b in range(len(guess.scores)):
        labels = range(int(people.present[b].sum()))
        quality, metric = {}, {}
        for n in labels:
            target, labelled = people.keypoints[b, n], people.labelled[b, n]
            area = float(people.areas[b, n])
            for g in range(len(POINTS)):
                pose = guess.keypoints[b, g]
                score = torch.sigmoid(guess.scores[b, g]).item()
                quality[n, g] = slow_oks(pose, target, labelled, area)
                soft = slow_oks(pose, target, labelled, area, 1 + 2 * rule.prior)
                prior = slow_prior(target, labelled, area, POINTS[g], float(STRIDES[g]))
                learnt = rule.alpha * math.log(score) + rule.beta * math.log(soft)
                metric[n, g] = (1 - rule.prior) * learnt + rule.prior * rule.beta * prior
        wanted = {
            n: sorted(range(len(POINTS)), key=lambda g, n=n: -metric[n, g])[: rule.topk]
            for n in labels
        }
        held = {n: [] for n in labels}
        for g in range(len(POINTS)):
            rivals = [n for n in labels if g in wanted[n]]
            if rivals:
                held[max(rivals, key=lambda n: quality[n, g])].append(g)
        rows = [[-1, 0.0, 0.0] for _ in POINTS]
        for n, points in held.items():
            best = max((metric[n, g] for g in points), default=0.0)
            top = max((quality[n, g] for g in points), default=0.0)
            for g in points:
                share = math.exp(metric[n, g] - best)
                rows[g] = [n, share * max(top, rule.prior), share]
        answers.append(rows)
    return answers


def assert_as_written_out(guess, people, rule):
    result = assign(guess, people, POINTS, STRIDES, SIGMAS, rule)
    for b, rows in enumerate(slow_assign(guess, people, rule)):
        for g, (person, score, weight) in enumerate(rows):
            assert bool(result.positive[b, g]) == (person >= 0)
            assert int(result.person[b, g]) == max(person, 0)
            assert float(result.score[b, g]) == pytest.approx(score, abs=CLOSE)
            assert float(result.weight[b, g]) == pytest.approx(weight, abs=CLOSE)


@pytest.mark.parametrize("prior", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("topk", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_rule_written_out(prior, topk, seed):
    people = people_at(TWO_IMAGES, seed=seed)
    people.labelled[0, 1, 5:] = False
    assert_as_written_out(guesses(people, seed=seed), people, AssignmentRule(topk, 0.5, 2.0, prior))


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
    found = log_oks(guess, people, SIGMAS)[0].exp().T
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
    assert result.positive.nonzero().tolist() == [[0, 27]]
    assert result.person[0, 27] == 1


def test_an_untrained_network_gives_each_person_a_grid_point_near_it():
    torch.manual_seed(0)
    network = ERPose("n", "relu", 17).eval()
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
    assert (log_oks(guess, people, SIGMAS).exp() == 0).all()
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

"""The assignment is the rule of docs/method.md, written out slowly: plain loops, float64."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_people import POINTS, SIGMAS, STRIDES, K, guesses, people_at

from erpose_edge.training.assignment import FORBIDDEN, Assignment, AssignmentRule, assign, claim

CLOSE = 5e-4  # largest difference of a target
GRID = len(POINTS)
RULES = {
    "one-to-one": AssignmentRule(1, contrast=2.0),
    "dense": AssignmentRule(10, contrast=2.0),
    "plain": AssignmentRule(10, 1.0, 2.0),
    "sharp": AssignmentRule(4, contrast=5.0),
    "half prior": AssignmentRule(10, prior=0.4, contrast=2.0),
    "one-to-one, half prior": AssignmentRule(1, prior=0.4),
    "prior alone": AssignmentRule(10, prior=1.0, contrast=2.0),
}


def log_oks(pose, target, labelled, area, sigmas):
    """Log of the OKS of one pose with one person, as COCO defines it."""
    exponents = []
    for k in range(K):
        if labelled[k]:
            squared = (pose[k][0] - target[k][0]) ** 2 + (pose[k][1] - target[k][1]) ** 2
            exponents.append(-squared / (2 * area * (2 * sigmas[k]) ** 2))
    top = max(exponents)  # taken out: far away the sum itself is 0 in any float
    return top + math.log(sum(math.exp(e - top) for e in exponents) / len(exponents))


def log_prior(target, labelled, area, point, stride):
    """Close to the mean labelled keypoint, on the level where the person is 12 cells high."""
    centre = np.mean([target[k] for k in range(K) if labelled[k]], axis=0)
    size = math.sqrt(area)
    level = math.log2(size / (stride * 12 / math.sqrt(2)))
    return -((math.dist(centre, point) / (0.3 * size)) ** 2) / 2 - level**2


def metrics_of(image, rule):
    """Return metric and quality of an image, both [person][grid point] in log space."""
    sigmas = SIGMAS.double().numpy()
    wide = sigmas * (1 + 2 * rule.prior)
    metric, quality = [], []
    for target, labelled, area in image["people"]:
        quality.append([log_oks(p, target, labelled, area, sigmas) for p in image["poses"]])
        soft = [rule.beta * log_oks(p, target, labelled, area, wide) for p in image["poses"]]
        best = sorted(soft, reverse=True)
        if rule.contrast > 1:
            times = math.log(rule.contrast) / max(best[0] - best[9], 1e-6)
            soft = [value * min(max(times, 1), 16) for value in soft]
        row = []
        for g in range(GRID):
            learnt = rule.alpha * -math.log1p(math.exp(-image["scores"][g])) + soft[g]
            row.append((1 - rule.prior) * learnt)
            if rule.prior:
                prior = log_prior(target, labelled, area, image["points"][g], image["strides"][g])
                row[g] += rule.prior * rule.beta * prior
        metric.append(row)
    return metric, quality


def settle(metric, quality, rule):
    """Return (person, score, weight) of every grid point, person -1 where nobody learns."""
    people = range(len(metric))
    lists = [sorted(range(GRID), key=lambda g, n=n: (-metric[n][g], g)) for n in people]
    lists = [[g for g in row if metric[n][g] > FORBIDDEN] for n, row in enumerate(lists)]
    asked = [rule.topk for _ in people]
    for second_choice in range(4):
        owner = {}
        for n in people:  # of equals the first stays
            for g in lists[n][: asked[n]]:
                if g not in owner or quality[n][g] > quality[owner[g]][g]:
                    owner[g] = n
        for n in people:
            if second_choice < 3 and n not in owner.values():
                asked[n] += 1
    rows = [(-1, 0.0, 0.0)] * GRID
    for n in people:
        held = [g for g in owner if owner[g] == n]
        for g in held:
            share = math.exp(metric[n][g] - max(metric[n][h] for h in held))
            top = math.exp(max(quality[n][h] for h in held))
            rows[g] = n, share * max(top, rule.prior), share
    return rows


def inside_any(point, boxes):
    return any(x0 <= point[0] < x1 and y0 <= point[1] < y1 for x0, y0, x1, y1 in boxes)


def assert_same(found, b, rows, names, boxes):
    """Compare image ``b``; ``names`` gives the reference's people their index in the batch."""
    for g, (person, score, weight) in enumerate(rows):
        assert bool(found.positive[b, g]) == (person >= 0), (b, g)
        assert int(found.person[b, g]) == (names[person] if person >= 0 else 0), (b, g)
        assert float(found.score[b, g]) == pytest.approx(score, abs=CLOSE), (b, g)
        assert float(found.weight[b, g]) == pytest.approx(weight, abs=CLOSE), (b, g)
        counted = person >= 0 or not inside_any(POINTS[g].tolist(), boxes)
        assert bool(found.counted[b, g]) == counted, (b, g)


def assert_as_written_out(guess, people, rule):
    found = assign(guess, people, POINTS, STRIDES, SIGMAS, rule)
    for b in range(len(people.present)):
        names = [n for n in range(people.present.shape[1]) if people.labelled[b, n].any()]
        image = {
            "people": [
                (
                    people.keypoints[b, n].double().numpy(),
                    people.labelled[b, n].numpy(),
                    float(people.areas[b, n]),
                )
                for n in names
            ],
            "poses": guess.keypoints[b].double().numpy(),
            "scores": guess.scores[b].double().tolist(),
            "points": POINTS.tolist(),
            "strides": STRIDES.tolist(),
        }
        rows = settle(*metrics_of(image, rule), rule)
        assert_same(found, b, rows, names, people.ignored[b].tolist())


def crowd(count, seed):
    """Return ``count`` places, none in line with another."""
    draw = np.random.default_rng(seed)
    return [tuple(place) for place in draw.uniform(4, 60, (count, 2)).tolist()]


def partly_labelled(people, seed):
    draw = torch.Generator().manual_seed(seed)
    keep = torch.rand(people.labelled.shape, generator=draw) < 0.6
    keep[..., 3] = True
    return replace(people, labelled=people.labelled & keep)


def without_labels(people, image, person):
    labelled = people.labelled.clone()
    labelled[image, person] = False
    return replace(people, labelled=labelled)


CASES = {
    "apart": lambda: people_at([[(20.7, 21.9), (44.9, 38.6)], [(41.1, 25.3)]]),
    "partly labelled": lambda: partly_labelled(people_at([crowd(6, 1), crowd(3, 2)]), 1),
    "empty images": lambda: people_at([[], [(30.2, 33.1)], []]),
    "nobody": lambda: people_at([[], []]),
    "a hundred people": lambda: people_at([crowd(100, 3)], size=12.0),
    "off the image": lambda: people_at([[(-40.3, 20.1), (30.2, 90.7), (500.3, -400.9)]]),
    "ignored regions": lambda: people_at(
        [crowd(3, 4), crowd(2, 5)], ignored=[(3.0, 5.0, 40.0, 61.5), (30.0, 0.0, 64.0, 20.0)]
    ),
    "no labelled keypoint": lambda: without_labels(people_at([crowd(3, 6), crowd(2, 7)]), 0, 1),
    "at one place": lambda: people_at([[(30.1, 30.3)] * 5], size=40.0),
    "tiny": lambda: people_at([crowd(4, 8)], size=1.0),
    "large": lambda: people_at([[(32.2, 31.1), (20.4, 40.6)]], size=300.0),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_the_rule_written_out(case, rule):
    people = case()
    assert_as_written_out(guesses(people), people, rule)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_poses_far_from_everybody_are_assigned_by_the_same_rule(rule):
    people = people_at([crowd(3, 9)], size=16.0)
    assert_as_written_out(guesses(people, noise=300.0), people, rule)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("topk", [1, 3, GRID + 5])
def test_of_equal_values_the_lower_index_wins(topk, seed):
    # Whole numbers, so that most values have many equals, and some grid points are forbidden.
    draw = torch.Generator().manual_seed(seed)
    people = people_at([crowd(7, seed), crowd(4, seed), []])
    shape = *people.present.shape, GRID
    metric = torch.randint(-4, 1, shape, generator=draw).float()
    metric[torch.rand(shape, generator=draw) < 0.3] = FORBIDDEN
    metric[0, 2] = FORBIDDEN  # nothing left for this person
    quality = torch.randint(-2, 1, shape, generator=draw).float()
    rule = AssignmentRule(topk)
    found = claim(metric, quality, people, POINTS, rule)
    for b in range(3):
        count = int(people.present[b].sum())
        rows = settle(metric[b, :count].tolist(), quality[b, :count].tolist(), rule)
        assert_same(found, b, rows, range(count), people.ignored[b].tolist())


def test_all_equal_goes_by_index_alone():
    people = people_at([crowd(3, 0)])
    level = torch.zeros(1, 3, GRID)
    found = claim(level, level, people, POINTS, AssignmentRule(1))
    assert found.positive[0].nonzero().flatten().tolist() == [0, 1, 2]
    assert found.person[0, :3].tolist() == [0, 1, 2]


def test_an_assignment_on_one_order_of_people_is_that_of_another():
    people = people_at([crowd(9, 11)])
    guess = guesses(people)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    turned = replace(
        people,
        **{
            name: getattr(people, name)[:, order]
            for name in set(people.__dataclass_fields__) - {"ignored"}
        },
    )
    rule = RULES["dense"]
    ours = assign(guess, people, POINTS, STRIDES, SIGMAS, rule)
    theirs = assign(guess, turned, POINTS, STRIDES, SIGMAS, rule)
    named = torch.where(theirs.positive, order[theirs.person], 0)
    assert torch.equal(ours.person, named)
    for name in set(Assignment.__dataclass_fields__) - {"person"}:
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))

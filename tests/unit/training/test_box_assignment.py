"""Box-driven assignment against the same rule written out slowly, and its promises."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import POINTS, guesses, people_at

from erpose_edge.network.pose_network import Predictions
from erpose_edge.training.assignment import AssignmentRule
from erpose_edge.training.box_assignment import assign_by_boxes

TWO_IMAGES = [[(20.7, 21.9), (44.9, 38.6), (30.3, 36.4)], [(41.1, 25.3)]]
CLOSE = 2e-4


def with_boxes(guess, people, noise=4.0, seed=0):
    """Return ``guess`` with the box of the nearest person, badly drawn, at every grid point."""
    draw = torch.Generator().manual_seed(seed)
    centres = people.keypoints.mean(2).masked_fill(~people.present[..., None], 1e4)
    nearest = torch.cdist(centres, POINTS.expand(len(centres), -1, -1)).argmin(1)
    boxes = torch.stack([b[n] for b, n in zip(people.boxes, nearest, strict=True)])
    return replace(guess, boxes=boxes + noise * torch.randn(boxes.shape, generator=draw))


def slow_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = sum(max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) for c in (a, b))
    return width * height / (areas - width * height)


def slow_rectangle(keypoints, labelled, area):
    """The rectangle around labelled keypoints, a tenth of the person's size wider all around."""
    points = keypoints[labelled]
    margin = 0.1 * math.sqrt(area)
    low, high = points.min(0).values - margin, points.max(0).values + margin
    return [*low.tolist(), *high.tolist()]


def settled(metric, quality, labels, rule):
    """Return (person, score, weight) of every grid point; the dictionaries have (person, point)."""
    wanted = {
        n: sorted((g for m, g in metric if m == n), key=lambda g, n=n: -metric[n, g])
        for n in labels
    }
    asked = dict.fromkeys(labels, rule.topk)
    for _ in range(4):  # who lost everything asks for one more, three times
        held = {n: [] for n in labels}
        for g in range(len(POINTS)):
            rivals = [n for n in labels if g in wanted[n][: asked[n]]]
            if rivals:
                held[max(rivals, key=lambda n: quality[n, g])].append(g)
        asked = {n: asked[n] + (not held[n]) for n in labels}
    rows = [[-1, 0.0, 0.0] for _ in POINTS]
    for n, points in held.items():
        best = max((metric[n, g] for g in points), default=0.0)
        top = max((quality[n, g] for g in points), default=0.0)
        for g in points:
            rows[g] = [n, metric[n, g] / best * top, metric[n, g] / best]
    return rows


def slow_assign(guess, people, rule):
    """Return (person, score, weight) of every grid point, by plain loops."""
    answers = []
    for b in range(len(guess.scores)):
        labels = range(int(people.present[b].sum()))
        quality, metric = {}, {}
        for n in labels:
            labelled, area = people.labelled[b, n], float(people.areas[b, n])
            x0, y0, x1, y1 = box = people.boxes[b, n].tolist()
            for g, (x, y) in enumerate(POINTS.tolist()):
                if not (x0 <= x < x1 and y0 <= y < y1):
                    continue
                if guess.boxes is None:
                    theirs = slow_rectangle(people.keypoints[b, n], labelled, area)
                    ours = slow_rectangle(guess.keypoints[b, g], labelled, area)
                    quality[n, g] = slow_iou(ours, theirs)
                else:
                    quality[n, g] = slow_iou(guess.boxes[b, g].tolist(), box)
                score = torch.sigmoid(guess.scores[b, g]).item()
                metric[n, g] = score**rule.alpha * quality[n, g] ** rule.beta
        answers.append(settled(metric, quality, labels, rule))
    return answers


def assert_as_written_out(guess, people, rule):
    result = assign_by_boxes(guess, people, POINTS, rule)
    for b, rows in enumerate(slow_assign(guess, people, rule)):
        for g, (person, score, weight) in enumerate(rows):
            assert bool(result.positive[b, g]) == (person >= 0)
            assert int(result.person[b, g]) == max(person, 0)
            assert float(result.score[b, g]) == pytest.approx(score, abs=CLOSE)
            assert float(result.weight[b, g]) == pytest.approx(weight, abs=CLOSE)


@pytest.mark.parametrize("boxes", [True, False])
@pytest.mark.parametrize("topk", [1, 4, 200])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_rule_written_out(boxes, topk, seed):
    people = people_at(TWO_IMAGES, seed=seed)
    people.labelled[0, 1, 5:] = False
    guess = guesses(people, seed=seed)
    guess = with_boxes(guess, people, seed=seed) if boxes else guess
    assert_as_written_out(guess, people, AssignmentRule(topk, 0.5, 2.0))


@settings(max_examples=25, deadline=None)
@given(
    centres=st.lists(
        st.lists(st.tuples(st.floats(0, 64), st.floats(0, 64)), max_size=8), min_size=1, max_size=3
    ),
    noise=st.floats(0, 60),
    boxes=st.booleans(),
    topk=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_every_person_keeps_to_its_box_and_its_share(centres, noise, boxes, topk, seed):
    people = people_at(centres, seed=seed)
    guess = guesses(people, noise, seed)
    guess = with_boxes(guess, people, noise, seed) if boxes else guess
    result = assign_by_boxes(guess, people, POINTS, AssignmentRule(topk))
    for b, g in result.positive.nonzero().tolist():
        box, point = people.boxes[b, result.person[b, g]], POINTS[g]
        assert (point >= box[:2]).all()
        assert (point < box[2:]).all()
    for b in range(len(centres)):
        counts = result.person[b][result.positive[b]].bincount()
        assert (counts <= topk).all()
    for values in (result.score, result.weight):
        assert torch.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6
    assert (result.score[~result.positive] == 0).all()


@pytest.mark.parametrize("boxes", [True, False])
def test_predictions_that_overlap_nobody_are_ranked_by_their_score(boxes):
    people = people_at([[(30.0, 33.0)]])
    nowhere = guesses(people)
    nowhere = replace(nowhere, keypoints=nowhere.keypoints + 1e4)
    if boxes:
        nowhere = replace(nowhere, boxes=torch.full((1, len(POINTS), 4), 1e4))
    result = assign_by_boxes(nowhere, people, POINTS, AssignmentRule(1))
    (winner,) = result.positive[0].nonzero().flatten().tolist()
    x0, y0, x1, y1 = people.boxes[0, 0].tolist()
    inside = [g for g, (x, y) in enumerate(POINTS.tolist()) if x0 <= x < x1 and y0 <= y < y1]
    assert winner == max(inside, key=lambda g: float(nowhere.scores[0, g]))


def test_a_grid_point_on_the_right_or_lower_edge_is_outside():
    people = replace(people_at([[(30.0, 33.0)]]), boxes=torch.tensor([[[12.0, 12.0, 28.0, 20.0]]]))
    result = assign_by_boxes(guesses(people), people, POINTS, AssignmentRule(200))
    # Cell centres of strides 8 (4, 12, 20, 28, ...), 16 (8, 24, ...) and 32 (16, 48).
    assert POINTS[result.positive[0]].tolist() == [[12, 12], [20, 12], [16, 16]]


def test_the_cold_start_prior_is_not_for_boxes():
    people = people_at(TWO_IMAGES)
    guess = with_boxes(guesses(people), people)
    first = assign_by_boxes(guess, people, POINTS, AssignmentRule(4, prior=0.0))
    second = assign_by_boxes(guess, people, POINTS, AssignmentRule(4, prior=1.0))
    assert torch.equal(first.score, second.score)


def test_nobody_is_all_background():
    people = people_at([[], []])
    result = assign_by_boxes(guesses(people), people, POINTS, AssignmentRule(4))
    assert not result.positive.any()
    assert result.counted.all()


def test_one_labelled_keypoint_is_enough_to_tell_near_from_far():
    people = people_at([[(30.0, 33.0)]])
    people.labelled[0, 0, 1:] = False
    exact = people.keypoints[:, :1].expand(-1, len(POINTS), -1, -1).clone()
    exact[:, 1:] += 40  # all grid points but the first are wrong ...
    exact[:, :, 1:] = 1e4  # ... in the only keypoint that is known
    people = replace(people, boxes=torch.tensor([[[0.0, 0.0, 64.0, 64.0]]]))
    guess = Predictions(torch.zeros(1, len(POINTS)), exact, torch.zeros(1, len(POINTS), 17))
    result = assign_by_boxes(guess, people, POINTS, AssignmentRule(1))
    assert result.positive[0].nonzero().tolist() == [[0]]
    assert float(result.score[0, 0]) == pytest.approx(1)

"""Box losses against their formulas written out, and their promises."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import INPUT_SIZE, POINTS, STRIDES, people_at

from erpose_edge.network.decode import bins_to_boxes
from erpose_edge.network.plan import BOX_BINS
from erpose_edge.training.assignment import Assignment
from erpose_edge.training.box_losses import (
    box_loss,
    complete_iou,
    distribution_focal_loss,
    intersection_over_union,
)

STEP = 1e-6
place, side = st.floats(-50, 50), st.floats(1, 60)
box = st.tuples(place, place, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


def slow_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def slow_shape(a, b):
    ratio_a, ratio_b = (math.atan((c[2] - c[0]) / (c[3] - c[1])) for c in (a, b))
    return 4 / math.pi**2 * (ratio_a - ratio_b) ** 2


def slow_weight(a, b):
    shape = slow_shape(a, b)
    return shape / (1 - slow_iou(a, b) + shape) if shape else 0.0


def slow_ciou(a, b, weight=None):
    """The formula of the paper; ``weight`` (its alpha) given: it carries no gradient."""
    weight = slow_weight(a, b) if weight is None else weight
    apart = math.dist(
        [(a[0] + a[2]) / 2, (a[1] + a[3]) / 2], [(b[0] + b[2]) / 2, (b[1] + b[3]) / 2]
    )
    diagonal = math.dist([min(a[0], b[0]), min(a[1], b[1])], [max(a[2], b[2]), max(a[3], b[3])])
    return slow_iou(a, b) - apart**2 / diagonal**2 - weight * slow_shape(a, b)


def tensor(*boxes):
    return torch.tensor(boxes, dtype=torch.float64)


@settings(deadline=None)
@given(box, box)
def test_overlap_and_ciou_are_the_formulas(a, b):
    assert float(intersection_over_union(tensor(a), tensor(b))) == pytest.approx(slow_iou(a, b))
    assert float(complete_iou(tensor(a), tensor(b))) == pytest.approx(slow_ciou(a, b), abs=1e-9)


@settings(deadline=None)
@given(box)
def test_a_box_meets_itself(a):
    assert float(complete_iou(tensor(a), tensor(a))) == pytest.approx(1)


@settings(deadline=None)
@given(box, box, st.tuples(place, place), st.floats(0.5, 4))
def test_ciou_depends_on_neither_place_nor_size_nor_order(a, b, move, zoom):
    ciou = float(complete_iou(tensor(a), tensor(b)))
    moved = [[zoom * (c[i] + move[i % 2]) for i in range(4)] for c in (a, b)]
    assert float(complete_iou(tensor(moved[0]), tensor(moved[1]))) == pytest.approx(ciou, abs=1e-6)
    assert float(complete_iou(tensor(b), tensor(a))) == pytest.approx(ciou)
    assert ciou <= float(intersection_over_union(tensor(a), tensor(b))) + 1e-12


def test_boxes_apart_still_know_where_to_go():
    far = tensor((0, 0, 4, 4)).requires_grad_()
    complete_iou(far, tensor((20, 0, 24, 4))).sum().backward()
    assert far.grad[0, [0, 2]].sum() > 0  # moving right raises it
    assert float(far.grad[0, [1, 3]].sum()) == pytest.approx(0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((0, 0, 10, 20), (3, 5, 17, 18)),
        ((0, 0, 10, 20), (30, 5, 70, 18)),
        ((0, 0, 30, 8), (3, 2, 17, 7)),
    ],
)
def test_the_gradient_of_ciou_is_that_of_finite_differences(a, b):
    predicted = tensor(a).requires_grad_()
    complete_iou(predicted, tensor(b)).sum().backward()
    weight = slow_weight(a, b)
    for i in range(4):
        up, down = list(a), list(a)
        up[i] += STEP
        down[i] -= STEP
        slope = (slow_ciou(up, b, weight) - slow_ciou(down, b, weight)) / (2 * STEP)
        assert float(predicted.grad[0, i]) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("flat", [(5.0, 5.0, 5.0, 5.0), (5.0, 0.0, 5.0, 9.0), (8.0, 8.0, 2.0, 2.0)])
def test_a_box_without_an_area_gives_finite_numbers(flat):
    predicted = torch.tensor([flat]).requires_grad_()
    for other in (flat, (1.0, 2.0, 9.0, 30.0)):
        ciou = complete_iou(predicted, torch.tensor([other])).sum()
        ciou.backward()
        assert torch.isfinite(ciou)
        assert torch.isfinite(predicted.grad).all()


def slow_dfl(logits, distances):
    total = 0.0
    for side_logits, distance in zip(logits, distances, strict=True):
        distance = min(max(distance, 0.0), BOX_BINS - 1 - 0.01)
        shares = [math.exp(v) for v in side_logits]
        lower = int(distance)
        for index, share in ((lower, lower + 1 - distance), (lower + 1, distance - lower)):
            total -= share * math.log(shares[index] / sum(shares))
    return total / 4


distance = st.floats(-3, 20) | st.integers(0, 16).map(float)


@settings(deadline=None)
@given(st.lists(distance, min_size=4, max_size=4), st.integers(0, 1000))
def test_distribution_focal_loss_is_the_formula(distances, seed):
    draw = torch.Generator().manual_seed(seed)
    bins = torch.randn(1, 4, BOX_BINS, generator=draw, dtype=torch.float64)
    found = distribution_focal_loss(bins, tensor(distances))
    assert float(found) == pytest.approx(slow_dfl(bins[0].tolist(), distances))


def test_the_gradient_of_distribution_focal_loss_is_that_of_finite_differences():
    bins = torch.randn(2, 4, BOX_BINS, dtype=torch.float64, requires_grad=True)
    distances = tensor((0.3, 4.0, 7.7, 30.0), (-1, 14.999, 2.5, 0.0))
    assert torch.autograd.gradcheck(lambda b: distribution_focal_loss(b, distances), bins)


@settings(deadline=None)
@given(st.floats(0, BOX_BINS - 1.01), st.integers(0, 99))
def test_the_least_loss_puts_the_side_where_it_is(distance, seed):
    # All weight on the two bins around: their mean is the distance.
    lower = int(distance)
    shares = torch.full((BOX_BINS,), 1e-9, dtype=torch.float64)
    shares[lower], shares[lower + 1] = lower + 1 - distance, max(distance - lower, 1e-9)
    best = shares.log().expand(1, 4, BOX_BINS)
    sides = torch.full((1, 4), distance, dtype=torch.float64)
    least = distribution_focal_loss(best, sides)
    noise = torch.rand(BOX_BINS, generator=torch.Generator().manual_seed(seed))
    assert distribution_focal_loss((best.exp() + noise / 10).log(), sides) >= least - 1e-6
    decoded = bins_to_boxes(best[None], torch.zeros(1, 2), torch.ones(1))
    expected = torch.tensor([-distance, -distance, distance, distance], dtype=torch.float64)
    torch.testing.assert_close(decoded[0, 0], expected, atol=1e-6, rtol=0)


def bins_of(boxes, sharpness=60.0):
    """Return logits (B, G, 4, BINS) that decode to ``boxes`` (B, G, 4) at every grid point."""
    sides = torch.cat([POINTS - boxes[..., :2], boxes[..., 2:] - POINTS], -1) / STRIDES[:, None]
    steps = torch.arange(float(BOX_BINS))
    return (1 - (sides[..., None] - steps).abs()).clamp(min=1e-26).log().clamp(min=-sharpness)


def learns(people, chosen, weights):
    """Return the assignment that gives the first person of the first image ``chosen`` points."""
    shape = (len(people.present), len(POINTS))
    positive, weight = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape)
    positive[0, chosen], weight[0, chosen] = True, torch.tensor(weights)
    return Assignment(
        torch.zeros(shape, dtype=torch.long), positive, weight, weight, torch.ones_like(positive)
    )


PEOPLE = people_at([[(30.0, 33.0)], []])
CHOSEN = [0, 27, 70]


def test_boxes_that_are_right_cost_nothing_but_the_entropy_of_the_bins():
    boxes = PEOPLE.boxes[:, :1].expand(-1, len(POINTS), -1)
    bins = bins_of(boxes)
    assignment = learns(PEOPLE, [27], [1.0])
    loss = box_loss(boxes, bins, assignment, PEOPLE, (POINTS, STRIDES), lambda t: t)
    assert float(loss.box) == pytest.approx(0, abs=1e-5)
    assert 0 <= float(loss.dfl) < math.log(2) + 1e-5
    wrong = box_loss(boxes, -bins, assignment, PEOPLE, (POINTS, STRIDES), lambda t: t)
    assert float(wrong.dfl) > 1


def test_both_losses_are_means_over_grid_points_by_weight():
    draw = torch.Generator().manual_seed(0)
    bins = torch.randn(2, len(POINTS), 4, BOX_BINS, generator=draw)
    boxes = bins_to_boxes(bins, POINTS, STRIDES)
    weights = [1.0, 0.5, 0.25]
    loss = box_loss(boxes, bins, learns(PEOPLE, CHOSEN, weights), PEOPLE, (POINTS, STRIDES),
                    lambda t: t)  # fmt: skip
    target = PEOPLE.boxes[0, 0].tolist()
    box_sum = dfl_sum = 0.0
    for g, weight in zip(CHOSEN, weights, strict=True):
        (x, y), stride = POINTS[g].tolist(), float(STRIDES[g])
        sides = [v / stride for v in (x - target[0], y - target[1], target[2] - x, target[3] - y)]
        box_sum += weight * (1 - slow_ciou(boxes[0, g].tolist(), target))
        dfl_sum += weight * slow_dfl(bins[0, g].tolist(), sides)
    assert float(loss.box) == pytest.approx(box_sum / sum(weights), rel=1e-4)
    assert float(loss.dfl) == pytest.approx(dfl_sum / sum(weights), rel=1e-4)


def test_nobody_costs_nothing_and_still_gives_a_gradient():
    bins = torch.zeros(2, len(POINTS), 4, BOX_BINS, requires_grad=True)
    boxes = bins_to_boxes(bins, POINTS, STRIDES)
    nobody = learns(PEOPLE, [], [])
    loss = box_loss(boxes, bins, nobody, PEOPLE, (POINTS, STRIDES), lambda t: t.clamp(min=1))
    (loss.box + loss.dfl).backward()
    assert loss.box == loss.dfl == 0
    assert torch.equal(bins.grad, torch.zeros_like(bins))


def test_an_even_distribution_is_the_box_of_an_untrained_network():
    bins = torch.zeros(1, len(POINTS), 4, BOX_BINS)
    boxes = bins_to_boxes(bins, POINTS, STRIDES)
    half = (BOX_BINS - 1) / 2 * STRIDES[:, None]
    torch.testing.assert_close(boxes[0], torch.cat([POINTS - half, POINTS + half], -1))
    assert INPUT_SIZE == (64, 64)

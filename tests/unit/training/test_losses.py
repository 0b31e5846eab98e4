"""The losses: tied to the metric, pulling from afar, and silent about what is not labelled."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import INPUT_SIZE, POINTS, SIGMAS, STRIDES, guesses, people_at

from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.oks import oks
from erpose_edge.network.pose_network import Predictions
from erpose_edge.training.assignment import AssignmentRule, assign
from erpose_edge.training.losses import branch_loss, smooth_oks_loss

K = len(SIGMAS)


@pytest.fixture
def poses():
    """Predicted and labelled keypoints of four people, their flags and areas, in float64."""
    draw = torch.Generator().manual_seed(0)
    target = 640 * torch.rand(4, K, 2, generator=draw, dtype=torch.float64)
    predicted = target + 10 * torch.randn(4, K, 2, generator=draw, dtype=torch.float64)
    labelled = torch.rand(4, K, generator=draw) < 0.7
    areas = 1e3 + 1e5 * torch.rand(4, generator=draw, dtype=torch.float64)
    return predicted, target, labelled, areas


def metric(predicted, target, labelled, areas):
    """OKS of each pose with its own person, by the code that measures AP."""
    count = len(areas)
    points = torch.cat([target, 2.0 * labelled[..., None]], -1).float().numpy()
    people = ImageLabels(
        1, "", 640, 640, points, boxes=np.zeros((count, 4), np.float32), areas=areas.numpy(),
        ignore=np.zeros(count, bool), annotation_ids=np.arange(count),
    )  # fmt: skip
    return oks(predicted.numpy(), people, SIGMAS.double().numpy()).diagonal()


def test_without_the_smooth_term_it_is_one_minus_the_metric(poses):
    predicted, target, labelled, areas = poses
    loss = smooth_oks_loss(predicted, target, labelled, areas, SIGMAS, 0.0)
    expected = 1 - metric(predicted, target, labelled, areas)
    np.testing.assert_allclose(loss.numpy(), expected, atol=1e-5)


def test_the_smooth_term_is_the_logarithm_it_says(poses):
    predicted, target, labelled, areas = poses
    plain, smooth = (
        smooth_oks_loss(predicted, target, labelled, areas, SIGMAS, weight) for weight in (0.0, 0.7)
    )
    r = (predicted - target).norm(dim=-1) / (areas.sqrt()[:, None] * 2 * SIGMAS)
    expected = 0.7 * (torch.log(1 + (r / 2) ** 6) / 3 * labelled).sum(-1) / labelled.sum(-1)
    torch.testing.assert_close(smooth - plain, expected, atol=1e-6, rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), reach=st.floats(0.01, 1.0), smooth=st.floats(0.0, 1.0))
def test_near_the_target_it_is_one_minus_the_metric(seed, reach, smooth):
    draw = torch.Generator().manual_seed(seed)
    target = 640 * torch.rand(3, K, 2, generator=draw, dtype=torch.float64)
    labelled = torch.rand(3, K, generator=draw) < 0.7
    labelled[:, 0] = True
    areas = 1e2 + 1e5 * torch.rand(3, generator=draw, dtype=torch.float64)
    angle = 7 * torch.rand(3, K, generator=draw, dtype=torch.float64)
    r = reach * torch.rand(3, K, generator=draw, dtype=torch.float64)
    step = r * areas.sqrt()[:, None] * 2 * SIGMAS
    predicted = target + step[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
    loss = smooth_oks_loss(predicted, target, labelled, areas, SIGMAS, smooth)
    expected = 1 - metric(predicted, target, labelled, areas)
    beyond = loss.numpy() - expected  # the metric's labels are float32
    assert (beyond >= -1e-4).all()
    assert (beyond <= 0.0052 * smooth * reach**6 + 1e-4).all()


def test_a_perfect_pose_has_no_loss_and_no_gradient():
    target = torch.rand(2, K, 2)
    predicted = target.clone().requires_grad_()
    labelled = torch.ones(2, K, dtype=torch.bool)
    loss = smooth_oks_loss(predicted, target, labelled, torch.ones(2), SIGMAS, 0.3)
    loss.sum().backward()
    assert loss.tolist() == [0, 0]
    assert torch.equal(predicted.grad, torch.zeros_like(predicted))


def gradient_at(r, smooth, area=1e4, angle=0.0):
    """Gradient by r of the loss of one keypoint, r in units of area's root times 2 sigma."""
    unit = math.sqrt(area) * 2 * float(SIGMAS[0])
    direction = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    place = (r * unit * direction)[None, None].requires_grad_()
    smooth_oks_loss(
        place,
        torch.zeros(1, 1, 2),
        torch.ones(1, 1, dtype=torch.bool),
        torch.tensor([area], dtype=torch.float64),
        SIGMAS[:1].double(),
        smooth,
    ).sum().backward()
    return float((place.grad[0, 0] * unit) @ direction)


@settings(max_examples=200, deadline=None)
@given(
    r=st.floats(1e-6, 1e6),
    smooth=st.floats(0.01, 2.0),
    area=st.floats(1.0, 1e6),
    angle=st.floats(0, 6.28),
)
def test_the_gradient_is_bounded_everywhere_and_vanishes_nowhere(r, smooth, area, angle):
    gradient = gradient_at(r, smooth, area, angle)
    assert gradient <= 0.6066 + 0.6373 * smooth
    if r >= 2:
        assert gradient >= smooth / r * (1 - 1e-9)
    else:
        assert gradient >= r * math.exp(-r * r / 2) * (1 - 1e-6)  # that of 1 - OKS


def test_the_largest_gradients_are_those_the_docstring_names():
    r = torch.linspace(0.01, 6, 600).tolist()
    assert max(gradient_at(x, 0.0) for x in r) == pytest.approx(0.6066, abs=1e-4)
    alone = [gradient_at(x, 1.0) - gradient_at(x, 0.0) for x in r]
    assert max(alone) == pytest.approx(0.6373, abs=1e-4)
    assert gradient_at(1e4, 1.0) == pytest.approx(2e-4, rel=1e-3)


def test_from_its_peak_on_the_gradient_only_falls():
    slopes = [gradient_at(x, 0.3) for x in torch.linspace(1.05, 30, 600).tolist()]
    assert all(later < earlier for earlier, later in itertools.pairwise(slopes))


def test_one_minus_oks_alone_would_vanish_far_away():
    assert gradient_at(40.0, 0.0) == 0
    assert gradient_at(40.0, 0.3) > 0.01


@pytest.mark.parametrize("far", [1e6, 1e8])
def test_in_float32_nothing_overflows_far_away(far):
    place = torch.full((1, K, 2), far, requires_grad=True)
    labelled = torch.ones(1, K, dtype=torch.bool)
    loss = smooth_oks_loss(place, torch.zeros(1, K, 2), labelled, torch.ones(1), SIGMAS, 0.3)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert (place.grad > 0).all()


@pytest.mark.parametrize("smooth", [0.0, 0.3, 1.0])
def test_gradients_are_finite_differences(poses, smooth):
    predicted, target, labelled, areas = poses
    sigmas = SIGMAS.double()
    predicted.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda at: smooth_oks_loss(at, target, labelled, areas, sigmas, smooth), predicted
    )


def test_nothing_labelled_gives_zero_with_a_gradient():
    predicted = torch.zeros(2, K, 2, requires_grad=True)
    labelled = torch.zeros(2, K, dtype=torch.bool)
    loss = smooth_oks_loss(predicted, torch.ones(2, K, 2), labelled, torch.ones(2), SIGMAS, 0.3)
    loss.sum().backward()
    assert loss.tolist() == [0, 0]
    assert torch.equal(predicted.grad, torch.zeros_like(predicted))


def test_an_unknown_place_that_is_not_a_number_does_no_harm():
    predicted = torch.zeros(1, K, 2, requires_grad=True)
    target = torch.ones(1, K, 2)
    target[0, 4:] = torch.nan
    labelled = torch.arange(K)[None] < 4
    loss = smooth_oks_loss(predicted, target, labelled, torch.ones(1) * 900, SIGMAS, 0.3)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(predicted.grad).all()


def test_under_autocast_it_is_computed_in_float32(poses):
    predicted, target, labelled, areas = (t.float() if t.is_floating_point() else t for t in poses)
    coarse = predicted.bfloat16()
    expected = smooth_oks_loss(coarse.float(), target, labelled, areas, SIGMAS, 0.3)
    with torch.autocast("cpu", torch.bfloat16):
        loss = smooth_oks_loss(coarse, target, labelled, areas, SIGMAS, 0.3)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), hidden=st.sets(st.integers(0, K - 1)), move=st.floats(-1e5, 1e5))
def test_an_unlabelled_keypoint_has_no_influence_on_the_pose(seed, hidden, move):
    draw = torch.Generator().manual_seed(seed)
    target = 100 * torch.rand(1, K, 2, generator=draw)
    predicted = target + torch.randn(1, K, 2, generator=draw)
    labelled = torch.ones(1, K, dtype=torch.bool)
    labelled[:, list(hidden)] = False
    moved = predicted.clone()
    moved[:, list(hidden)] += move
    first, second = (
        smooth_oks_loss(p, target, labelled, torch.tensor([900.0]), SIGMAS, 0.3)
        for p in (predicted, moved)
    )
    assert torch.equal(first, second)


def learnable(guess):
    return Predictions(
        *(getattr(guess, n).clone().requires_grad_() for n in ("scores", "keypoints", "visibility"))
    )


def loss_of(guess, people, normaliser=lambda totals: totals.clamp(min=1)):
    assignment = assign(guess, people, POINTS, STRIDES, SIGMAS, AssignmentRule(4))
    return branch_loss(guess, assignment, people, SIGMAS, 0.3, normaliser), assignment


def test_nobody_in_the_batch_teaches_scores_only():
    people = people_at([[], []])
    guess = learnable(guesses(people))
    loss, _ = loss_of(guess, people)
    (loss.score + loss.pose + loss.visibility).backward()
    assert loss.score > 0
    assert loss.pose == loss.visibility == 0
    assert (guess.scores.grad > 0).all()  # every score is to fall
    assert torch.equal(guess.keypoints.grad, torch.zeros_like(guess.keypoints))


def test_visibility_is_learnt_where_it_is_known_only():
    people = people_at([[(32, 32)]])
    people.visible[0, 0, :] = 0
    people.visibility_known[0, 0, 8:] = False
    guess = learnable(guesses(people))
    loss, assignment = loss_of(guess, people)
    loss.visibility.backward()
    here = guess.visibility.grad[assignment.positive]
    assert (here[:, :8] > 0).all()
    assert (here[:, 8:] == 0).all()
    assert (guess.visibility.grad[~assignment.positive] == 0).all()


def test_a_keypoint_outside_the_picture_is_known_to_be_invisible_but_has_no_place():
    people = people_at([[(32, 32)]])
    people.labelled[0, 0, 3] = False
    people.visible[0, 0, 3] = 0
    guess = learnable(guesses(people))
    loss, assignment = loss_of(guess, people)
    (loss.pose + loss.visibility).backward()
    assert (guess.visibility.grad[assignment.positive][:, 3] > 0).all()
    assert (guess.keypoints.grad[:, :, 3] == 0).all()
    assert (guess.keypoints.grad[assignment.positive][:, 4] != 0).any()


def test_ignored_grid_points_give_no_score_loss():
    people = people_at([[(12, 50)]], ignored=[(32.0, 0.0, 64.0, 40.0)])
    guess = learnable(guesses(people))
    loss, assignment = loss_of(guess, people)
    loss.score.backward()
    assert not assignment.counted.all()
    assert torch.equal(guess.scores.grad != 0, assignment.counted)


def test_two_halves_of_a_batch_average_to_the_whole():
    # What two processes do: each normalises by the mean over both, gradients are averaged.
    people = people_at([[(20, 20), (44, 40)], [(30, 30)]], seed=3)
    guess = guesses(people, noise=0.5)
    whole, assignment = loss_of(guess, people)
    totals = torch.stack([assignment.score.sum(), assignment.weight.sum()]) / 2
    halves = []
    for b in range(2):
        own = Predictions(
            *(getattr(guess, n)[b : b + 1] for n in ("scores", "keypoints", "visibility"))
        )
        half = replace(
            people, **{n: getattr(people, n)[b : b + 1] for n in people.__dataclass_fields__}
        )
        halves.append(loss_of(own, half, lambda _: totals)[0])
    for name in ("score", "pose", "visibility"):
        mean = (getattr(halves[0], name) + getattr(halves[1], name)) / 2
        torch.testing.assert_close(mean, getattr(whole, name))


def test_points_fit_the_input_size():
    assert len(POINTS) == sum((INPUT_SIZE[0] // s) ** 2 for s in (8, 16, 32))

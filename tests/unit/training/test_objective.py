"""The loss of a batch: both branches, weighed as the config says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantized_network import float_network
from small_people import INPUT_SIZE, people_at

from erpose_edge.config import AssignmentConfig, LossConfig, TrainingConfig
from erpose_edge.skeleton import COCO_17
from erpose_edge.training.objective import Objective, TrainingNetwork
from erpose_edge.training.teacher import imitation_loss

PARTS = {f"{branch}_{part}" for branch in ("one_to_one", "dense")
         for part in ("score", "pose", "visibility")}  # fmt: skip


def objective(**settings_):
    config = TrainingConfig(input_size=INPUT_SIZE, **settings_)
    return Objective(config, COCO_17, INPUT_SIZE, lambda totals: totals.clamp(min=1))


@pytest.fixture(scope="module")
def network():
    return TrainingNetwork(float_network(), imitates=False).eval()


@pytest.fixture(scope="module")
def outputs(network):
    images = torch.rand(2, 3, *INPUT_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(images)


PEOPLE = people_at([[(20.3, 21.1), (44.2, 40.7)], []])


def test_the_total_is_the_weighed_sum_of_the_parts(outputs):
    weights = LossConfig(score=2, pose=3, visibility=5)
    total, parts = objective(loss=weights)(outputs, PEOPLE, 0.0)
    assert parts.keys() == PARTS
    expected = sum(getattr(weights, name.split("_")[-1]) * value for name, value in parts.items())
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_every_deployed_and_dense_number_gets_a_gradient(network):
    network.train().zero_grad()
    images = torch.rand(2, 3, *INPUT_SIZE)
    total, _ = objective()(network(images), PEOPLE, 0.5)
    total.backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()


def test_nobody_in_the_batch_still_gives_every_number_a_gradient(network):
    # A distributed run waits for the gradient of every parameter.
    network.train().zero_grad()
    total, _ = objective()(network(torch.rand(2, 3, *INPUT_SIZE)), people_at([[], []]), 0.5)
    total.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    network.eval()


def test_the_prior_fades_within_its_epochs(outputs):
    rule = AssignmentConfig(prior_epochs=2)
    losses = [objective(assignment=rule)(outputs, PEOPLE, e)[1] for e in (0.0, 1.0, 2.0, 3.0)]
    assert losses[0] != losses[1]
    assert losses[2] == losses[3]
    none = AssignmentConfig(prior_epochs=0)
    assert objective(assignment=none)(outputs, PEOPLE, 0.0)[1] == losses[2]


@settings(max_examples=20, deadline=None)
@given(hidden=st.sets(st.integers(0, 16), max_size=16), move=st.floats(-1e4, 1e4),
       epoch=st.sampled_from([0.0, 0.5, 2.0]))  # fmt: skip
def test_an_unlabelled_keypoint_has_no_influence_on_any_loss(outputs, hidden, move, epoch):
    people = replace(
        PEOPLE,
        labelled=PEOPLE.labelled.clone(),
        visibility_known=PEOPLE.visibility_known.clone(),
        visible=PEOPLE.visible.clone(),
        keypoints=PEOPLE.keypoints.clone(),
    )
    people.labelled[:, :, list(hidden)] = False
    people.visibility_known[:, :, list(hidden)] = False
    first = objective()(outputs, people, epoch)[1]
    people.keypoints[:, :, list(hidden)] += move
    people.visible[:, :, list(hidden)] = 0.0
    assert objective()(outputs, people, epoch)[1] == first


def test_a_teacher_is_imitated_best_by_its_own_features():
    draw = torch.Generator().manual_seed(0)
    fine, wide, deep = (
        torch.rand(2, c, s, s, generator=draw) for c, s in ((24, 16), (144, 4), (480, 2))
    )
    heat = torch.rand(2, 18, 16, 16, generator=draw).round()
    seen = (fine, heat, wide, deep)
    exact = imitation_loss((torch.cat([fine, 50 * (heat - 0.5)], 1), wide, deep), seen)
    wrong = imitation_loss((torch.cat([fine, 50 * (0.5 - heat)], 1), wide, deep), seen)
    off = imitation_loss((torch.cat([fine, 50 * (heat - 0.5)], 1), wide + 1, deep), seen)
    assert float(exact) == pytest.approx(0, abs=1e-4)
    assert wrong > exact
    assert off > exact


def test_what_the_network_believes_of_a_teacher_has_the_teachers_shapes():
    network = TrainingNetwork(float_network(), imitates=True).eval()
    with torch.no_grad():
        fine, wide, deep = network(torch.rand(1, 3, 64, 96)).believed
    assert fine.shape == (1, 24 + 18, 16, 24)
    assert wide.shape == (1, 144, 4, 6)
    assert deep.shape == (1, 480, 2, 3)

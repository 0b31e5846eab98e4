"""Learning rate, averaged weights and what decays."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from erpose_edge.config import TrainingConfig
from erpose_edge.training.schedule import AveragedWeights, learning_rate_factor, make_optimizer

CONFIG = TrainingConfig(epochs=10, warmup_epochs=2.0, final_lr_fraction=0.1)


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0.0, 1e-3), (0.5, 0.25), (1.0, 0.5), (2.0, 1.0), (6.0, 0.55), (10.0, 0.1), (11.0, 0.1)],
)
def test_it_warms_up_linearly_and_falls_as_a_cosine(epoch, factor):
    assert learning_rate_factor(CONFIG, epoch) == pytest.approx(factor)


@given(
    epochs=st.integers(1, 50),
    warmup=st.floats(0, 100),
    final=st.floats(0, 1),
    place=st.floats(0, 1),
)
def test_it_stays_between_zero_and_the_peak_and_ends_at_the_last(epochs, warmup, final, place):
    config = TrainingConfig(epochs=epochs, warmup_epochs=warmup, final_lr_fraction=final)
    assert 0 <= learning_rate_factor(config, place * epochs) <= 1 + 1e-9
    assert learning_rate_factor(config, epochs) == pytest.approx(final, abs=1e-9)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_only_convolution_weights_decay(name):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    network[0].weight.requires_grad_(True)
    config = TrainingConfig(optimizer=name, weight_decay=0.05)
    decayed, plain = make_optimizer(network, config).param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert len(plain["params"]) == 3
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0)
    assert decayed["lr"] == config.learning_rate


def filled(value):
    module = nn.BatchNorm2d(2)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(value)
    return module


def test_the_average_starts_as_a_copy_and_remembers_little_at_first():
    module = filled(1)
    average = AveragedWeights(module, 0.9)
    assert average.state["weight"].tolist() == [1, 1]
    average.update(filled(2))
    decay = 1 / 11
    assert average.state["weight"][0] == pytest.approx(decay * 1 + (1 - decay) * 2)
    assert average.state["running_var"][0] == pytest.approx(decay * 1 + (1 - decay) * 2)
    assert module.weight.tolist() == [1, 1]


def test_counters_are_copied_and_not_averaged():
    average = AveragedWeights(filled(1), 0.9)
    average.update(filled(7))
    assert average.state["num_batches_tracked"] == 7


def test_later_it_moves_by_its_decay():
    average = AveragedWeights(filled(1), 0.9)
    average.updates = 10_000
    average.update(filled(2))
    assert average.state["weight"][0] == pytest.approx(1.1)


def test_a_decay_of_zero_averages_nothing():
    average = AveragedWeights(filled(1), 0.0)
    average.update(filled(2))
    assert average.state["weight"].tolist() == [2, 2]

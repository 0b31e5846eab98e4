"""All processes of a machine use the cache that its first process makes."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch
from small_people import small_config

from erpose_edge.training import shared_cache
from erpose_edge.training.distributed import Processes
from erpose_edge.training.session import open_training_set
from erpose_edge.training.shared_cache import share_cache

ALONE = Processes(0, 1, torch.device("cpu"))


class Told(Processes):
    """One of two processes; the other one has offered ``offer``."""

    def gather(self, value):
        self.said.append(value)
        return [self.offer, value]


def told(offer):
    processes = Told(1, 2, torch.device("cpu"))
    object.__setattr__(processes, "said", [])
    object.__setattr__(processes, "offer", offer)
    return processes


@pytest.fixture
def training_set():
    config = small_config()
    return open_training_set(config, config.training, lambda _: None)


def test_auto_keeps_everything_where_there_is_room(training_set):
    share_cache(training_set, "auto", ALONE)
    assert training_set.cache.plan.kept == 8


@pytest.mark.parametrize(("cache_mb", "free"), [(0, 10**9), ("auto", 0)])
def test_without_room_nothing_is_kept(training_set, cache_mb, free, monkeypatch):
    monkeypatch.setattr(shared_cache, "free_memory_bytes", lambda: free)
    share_cache(training_set, cache_mb, ALONE)
    assert training_set.cache is None


def test_auto_takes_half_of_what_is_free(training_set, monkeypatch):
    monkeypatch.setattr(shared_cache, "free_memory_bytes", lambda: 200_000)
    share_cache(training_set, "auto", ALONE)
    assert 50_000 < training_set.cache.plan.total <= 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="opens another process's file")
def test_the_second_process_of_a_machine_opens_the_cache_of_the_first(training_set, monkeypatch):
    config = small_config()
    second = open_training_set(config, config.training, lambda _: None)
    first_says = told(None)
    share_cache(training_set, 100, first_says)
    (offer,) = first_says.said
    monkeypatch.setenv("LOCAL_RANK", "1")
    share_cache(second, 100, told(offer))
    made = training_set.sample(0, 0, 3, mosaic=False)
    monkeypatch.setattr(second, "_sources", None)  # whatever it gives comes from the first
    found = second.sample(0, 0, 3, mosaic=False)
    for field in dataclasses.fields(made):
        assert np.array_equal(getattr(made, field.name), getattr(found, field.name))


def test_the_cache_of_another_machine_is_left_alone(training_set, monkeypatch):
    first_says = told(None)
    share_cache(training_set, 100, first_says)
    ((_, *offer),) = first_says.said
    config = small_config()
    second = open_training_set(config, config.training, lambda _: None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    share_cache(second, 100, told(("elsewhere", *offer)))
    assert second.cache is None

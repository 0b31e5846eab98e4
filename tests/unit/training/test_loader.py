"""Batches: padding, shares of processes, and the same data from any number of workers."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from small_people import dotted_sample, small_config

from erpose_edge.data.sample import HIDDEN, OUTSIDE, UNLABELLED, VISIBLE, join
from erpose_edge.training.loader import LoadPlan, batches_per_epoch, collate, load_batches
from erpose_edge.training.session import open_training_set


@pytest.fixture(scope="module")
def training_set():
    config = small_config("data.augmentation.mosaic=0.5", "data.augmentation.paste=1.0")
    return open_training_set(config, config.training, lambda _: None)


def plan(**changes):
    values = {"epoch": 0, "batch": 0, "epochs": 2, "batch_size": 4, "rank": 0, "processes": 1,
              "mosaic_epochs": 1}  # fmt: skip
    return LoadPlan(**(values | changes))


def assert_equal(ours, theirs):
    assert torch.equal(ours.images, theirs.images)
    for field in fields(ours.people):
        assert torch.equal(getattr(ours.people, field.name), getattr(theirs.people, field.name))


@pytest.mark.slow
@pytest.mark.alone  # processes of processes: the end of a worker brought its parent down once
def test_workers_give_what_the_main_process_gives(training_set):
    alone = list(load_batches(training_set, plan(), 0))
    shared = list(load_batches(training_set, plan(), 2))
    assert len(alone) == len(shared) == 4
    for ours, theirs in zip(alone, shared, strict=True):
        assert_equal(ours, theirs)


def test_going_on_in_the_middle_gives_what_was_left(training_set):
    whole = list(load_batches(training_set, plan(), 0))
    rest = list(load_batches(training_set, plan(epoch=0, batch=1), 0))
    assert len(rest) == 3
    for ours, theirs in zip(whole[1:], rest, strict=True):
        assert_equal(ours, theirs)


def test_processes_share_every_batch_without_overlap(training_set):
    (whole,) = list(load_batches(training_set, plan(epoch=1, batch=1), 0))
    shares = [
        next(load_batches(training_set, plan(epoch=1, batch=1, rank=rank, processes=2), 0))
        for rank in (0, 1)
    ]
    for rank, share in enumerate(shares):
        assert torch.equal(share.images, whole.images[rank::2])


def test_epochs_differ(training_set):
    batches = list(load_batches(training_set, plan(), 0))
    assert not torch.equal(batches[0].images, batches[2].images)


def test_an_epoch_has_full_batches_and_at_least_one(training_set):
    assert batches_per_epoch(training_set, 4) == 2
    assert batches_per_epoch(training_set, 5) == 1
    assert batches_per_epoch(training_set, 100) == 1
    (batch,) = load_batches(training_set, plan(epochs=1, batch_size=100), 0)
    assert len(batch.images) == 8


def test_flags_say_what_gives_a_loss():
    one = dotted_sample([(20, 20), (60, 40)], (64, 96))
    one.flags[0, :4] = (VISIBLE, HIDDEN, UNLABELLED, OUTSIDE)
    people = collate([one]).people
    assert people.labelled[0, 0, :4].tolist() == [True, True, False, False]
    assert people.visible[0, 0, :4].tolist() == [1, 0, 0, 0]
    assert people.visibility_known[0, 0, :4].tolist() == [True, True, False, True]


def test_people_are_padded_and_ignored_ones_become_boxes():
    one = dotted_sample([(20, 20), (60, 40)], (64, 96))
    crowd = dotted_sample([(30, 10), (70, 50)], (64, 96))
    crowd.ignored[0] = True
    batch = collate([join(one.image, [one, crowd, one]), crowd])
    assert batch.people.present.tolist() == [[True, True], [False, False]]
    assert batch.people.ignored[0].tolist() == crowd.boxes.tolist()
    assert batch.people.ignored[1].tolist() == crowd.boxes.tolist()
    assert (batch.people.areas > 0).all()
    np.testing.assert_array_equal(batch.people.keypoints[0, 1].numpy(), one.keypoints[0])


def test_nobody_is_one_empty_place():
    one = dotted_sample([(20, 20), (60, 40)], (64, 96))
    nobody = type(one)(one.image, *(getattr(one, f.name)[:0] for f in fields(one)[1:]))
    people = collate([nobody]).people
    assert people.present.tolist() == [[False]]
    assert not people.labelled.any()
    assert not people.visibility_known.any()

"""Batches for training: worker processes, collation, and this process's share of every batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from erpose_edge.data.sample import UNLABELLED, VISIBLE, Sample
from erpose_edge.data.training_set import TrainingSet
from erpose_edge.training.people import People

_Key = tuple[int, int, int, bool]  # epoch, position, image, mosaic


@dataclass(frozen=True)
class Batch:
    """Images (B, H, W, 3) BGR uint8 and their people."""

    images: Tensor
    people: People


def rgb_input(images: Tensor) -> Tensor:
    """Turn BGR uint8 images (B, H, W, 3) into the network's input: RGB (B, 3, H, W) in [0, 1]."""
    return images.flip(-1).permute(0, 3, 1, 2).float().div_(255)


class _Samples(Dataset[Sample]):
    def __init__(self, training_set: TrainingSet) -> None:
        self._set = training_set

    def __getitem__(self, key: _Key) -> Sample:
        epoch, position, index, mosaic = key
        return self._set.sample(epoch, position, index, mosaic=mosaic)


@dataclass(frozen=True)
class LoadPlan:
    """Which samples this process loads, batch by batch, from here to the end of the run.

    Attributes:
        epoch: First epoch, from 0.
        batch: First batch of that epoch: a run that goes on in the middle.
        epochs: Of the whole run.
        batch_size: Of the global batch, over all processes.
        rank: Of this process.
        processes: In all.
        mosaic_epochs: Epochs with mosaics; those after it have none.
    """

    epoch: int
    batch: int
    epochs: int
    batch_size: int
    rank: int
    processes: int
    mosaic_epochs: int


def batches_per_epoch(training_set: TrainingSet, batch_size: int) -> int:
    """Return the number of full global batches in an epoch, at least one."""
    return max(1, training_set.samples_per_epoch // batch_size)


def load_batches(training_set: TrainingSet, plan: LoadPlan, workers: int) -> Iterator[Batch]:
    """Yield this process's share of every batch that is left of the run, in order."""
    return iter(
        DataLoader(
            _Samples(training_set),
            batch_sampler=_BatchKeys(training_set, plan),
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=_one_thread,
            # Its seeds are not used; drawn from the run's own generator, they would move that.
            generator=torch.Generator(),
            prefetch_factor=4 if workers else None,
            # A forked worker would inherit the locks of cv2's and torch's threads and hang.
            multiprocessing_context="spawn" if workers else None,
        )
    )


class _BatchKeys(Sampler[list[_Key]]):
    """The keys of every batch, computed an epoch at a time."""

    def __init__(self, training_set: TrainingSet, plan: LoadPlan) -> None:
        self._set, self._plan = training_set, plan
        self._per_epoch = batches_per_epoch(training_set, plan.batch_size)

    def __len__(self) -> int:
        return (self._plan.epochs - self._plan.epoch) * self._per_epoch - self._plan.batch

    def __iter__(self) -> Iterator[list[_Key]]:
        plan = self._plan
        for epoch in range(plan.epoch, plan.epochs):
            order = self._set.order(epoch)
            mosaic = epoch < plan.mosaic_epochs
            for batch in range(plan.batch if epoch == plan.epoch else 0, self._per_epoch):
                start = batch * plan.batch_size
                end = min(start + plan.batch_size, len(order))
                mine = range(start, end)[plan.rank :: plan.processes]
                yield [(epoch, p, int(order[p]), mosaic) for p in mine]


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)  # the processes are the parallelism


def collate(samples: list[Sample]) -> Batch:
    """Pad the people of ``samples`` to one size and stack everything."""
    most = max(1, *(int((~s.ignored).sum()) for s in samples))
    most_ignored = max(1, *(int(s.ignored.sum()) for s in samples))
    batch, points = len(samples), samples[0].flags.shape[1]
    keypoints = np.zeros((batch, most, points, 2), np.float32)
    flags = np.full((batch, most, points), UNLABELLED, np.int8)
    areas = np.ones((batch, most), np.float32)
    boxes = np.zeros((batch, most, 4), np.float32)
    present = np.zeros((batch, most), bool)
    ignored = np.zeros((batch, most_ignored, 4), np.float32)
    for i, sample in enumerate(samples):
        people = np.flatnonzero(~sample.ignored)
        keypoints[i, : len(people)] = sample.keypoints[people]
        flags[i, : len(people)] = sample.flags[people]
        areas[i, : len(people)] = sample.areas[people]
        boxes[i, : len(people)] = sample.boxes[people]
        present[i, : len(people)] = True
        unsure = np.flatnonzero(sample.ignored)
        ignored[i, : len(unsure)] = sample.boxes[unsure]
    return Batch(
        images=torch.from_numpy(np.stack([s.image for s in samples])),
        people=People(
            keypoints=torch.from_numpy(keypoints),
            labelled=torch.from_numpy(flags > 0),
            visible=torch.from_numpy((flags == VISIBLE).astype(np.float32)),
            visibility_known=torch.from_numpy(flags != UNLABELLED),
            areas=torch.from_numpy(areas),
            boxes=torch.from_numpy(boxes),
            present=torch.from_numpy(present),
            ignored=torch.from_numpy(ignored),
        ),
    )

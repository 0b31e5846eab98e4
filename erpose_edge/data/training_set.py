"""The training samples of an epoch, each a function of (seed, epoch, position) and nothing else.

So the data do not depend on how many processes make them, and a run that is resumed in the middle
of an epoch sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from erpose_edge.config import AugmentationConfig
from erpose_edge.data.augmentation import augment, useful_size
from erpose_edge.data.sample import Sample, shrink
from erpose_edge.data.sample_cache import CachePlan, SampleCache, plan_cache
from erpose_edge.data.sources import Source
from erpose_edge.errors import DataError, ImageError
from erpose_edge.skeleton import Skeleton

_ATTEMPTS = 20  # unreadable images in a row before the data set is called unusable


class TrainingSet:
    """Weighted sources, shuffled and augmented.

    Args:
        sources: Sources and how often their images are drawn: one weight, or one per image.
        augmentation: How samples are varied.
        size: (height, width) of samples in pixels.
        skeleton: Of the keypoints.
        seed: Of the run.
        samples_per_epoch: 0 takes as many as there are images of any weight.

    Attributes:
        cache: Keeps decoded images; None reads them every time. The data do not depend on it.
    """

    cache: SampleCache | None = None

    def __init__(
        self,
        sources: Sequence[tuple[Source, float | NDArray[np.float64]]],
        augmentation: AugmentationConfig,
        size: tuple[int, int],
        skeleton: Skeleton,
        seed: int,
        samples_per_epoch: int = 0,
    ) -> None:
        self._sources = [source for source, _ in sources]
        self._augmentation = augmentation
        self._size = size
        self._skeleton = skeleton
        self._seed = seed
        self._starts = np.cumsum([0, *(len(source) for source in self._sources)])
        self._shares = np.concatenate([np.broadcast_to(w, len(s)) for s, w in sources])
        self._weights = self._shares.cumsum()
        drawn = int(np.count_nonzero(self._shares))
        if not drawn:
            raise DataError(
                "data.train: expected an image to draw, got weight 0 for all of them; raise a "
                "weight, or label people"
            )
        self.samples_per_epoch = samples_per_epoch or drawn

    def __len__(self) -> int:
        """Return the number of images of all sources."""
        return int(self._starts[-1])

    def plan_cache(self, budget: int) -> CachePlan:
        """Return where its images would lie in a cache of ``budget`` bytes."""
        sizes = []
        for source in self._sources:
            for index in range(len(source)):
                height, width, people = source.extent(index)
                size = useful_size((height, width), self._size, self._augmentation)
                sizes.append((*size, people))
        return plan_cache(np.array(sizes, np.int64), self._shares, len(self._skeleton), budget)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the images of one epoch in order, as indices over all sources.

        Systematic sampling: an image of weight w comes up within one of its fair number of times.
        """
        rng = np.random.default_rng([self._seed, epoch])
        steps = (np.arange(self.samples_per_epoch) + rng.random()) / self.samples_per_epoch
        chosen = np.searchsorted(self._weights, steps * self._weights[-1], side="right")
        return rng.permutation(np.minimum(chosen, len(self._weights) - 1))

    def sample(self, epoch: int, position: int, index: int, *, mosaic: bool) -> Sample:
        """Return the sample at ``position`` of ``epoch``.

        Args:
            epoch: From 0.
            position: Place in the epoch's order.
            index: The image that stands there, from ``order``.
            mosaic: False switches mosaics off.

        Raises:
            DataError: Image after image cannot be read.
        """
        rng = np.random.default_rng([self._seed, epoch, position])
        first = self._read(index, rng)
        return augment(
            first, self._draw, rng, self._augmentation, self._size, self._skeleton, mosaic=mosaic
        )

    def read(self, index: int) -> Sample:
        """Return an image over all sources before augmentation, from the cache if it is there.

        Raises:
            ImageError: It cannot be read.
        """
        kept = None if self.cache is None else self.cache.get(index)
        if kept is not None:
            return kept
        source = int(np.searchsorted(self._starts, index, side="right")) - 1
        sample = self._sources[source].sample(index - int(self._starts[source]))
        size = useful_size(sample.image.shape[:2], self._size, self._augmentation)
        sample = shrink(sample, size)
        if self.cache is not None:
            self.cache.put(index, sample)
        return sample

    def _draw(self, rng: np.random.Generator) -> Sample:
        return self._read(self._random_index(rng), rng)

    def _random_index(self, rng: np.random.Generator) -> int:
        return int(
            np.searchsorted(self._weights[:-1], rng.random() * self._weights[-1], side="right")
        )

    def _read(self, index: int, rng: np.random.Generator) -> Sample:
        """Return image ``index``; an unreadable one is replaced by another."""
        for _ in range(_ATTEMPTS):
            try:
                return self.read(index)
            except ImageError as error:
                last = error
                index = self._random_index(rng)
        raise DataError(
            f"training data: expected readable images, got {_ATTEMPTS} bad ones: {last}"
        )

"""The training samples of an epoch, each a function of (seed, epoch, position) and nothing else.

So the data do not depend on how many processes make them, and a run that is resumed in the middle
of an epoch sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from erpose_edge.config import AugmentationConfig
from erpose_edge.data.augmentation import augment
from erpose_edge.data.sample import Sample
from erpose_edge.data.sources import Source
from erpose_edge.errors import DataError, ImageError
from erpose_edge.skeleton import Skeleton

_ATTEMPTS = 20  # unreadable images in a row before the data set is called unusable


class TrainingSet:
    """Weighted sources, shuffled and augmented.

    Args:
        sources: Sources and how often their images are drawn, per image.
        augmentation: How samples are varied.
        size: (height, width) of samples in pixels.
        skeleton: Of the keypoints.
        seed: Of the run.
        samples_per_epoch: 0 takes as many as there are images.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
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
        counts = [len(source) for source in self._sources]
        self._starts = np.cumsum([0, *counts])
        self._weights = np.repeat([weight for _, weight in sources], counts).cumsum()
        self.samples_per_epoch = samples_per_epoch or int(self._starts[-1])

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

    def _draw(self, rng: np.random.Generator) -> Sample:
        return self._read(self._random_index(rng), rng)

    def _random_index(self, rng: np.random.Generator) -> int:
        return int(
            np.searchsorted(self._weights[:-1], rng.random() * self._weights[-1], side="right")
        )

    def _read(self, index: int, rng: np.random.Generator) -> Sample:
        """Return image ``index``; an unreadable one is replaced by another."""
        for _ in range(_ATTEMPTS):
            source = int(np.searchsorted(self._starts, index, side="right")) - 1
            try:
                return self._sources[source].sample(index - int(self._starts[source]))
            except ImageError as error:
                last = error
                index = self._random_index(rng)
        raise DataError(
            f"training data: expected readable images, got {_ATTEMPTS} bad ones: {last}"
        )

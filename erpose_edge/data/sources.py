"""Sources of labelled images: photographs on disk and generated people, behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from erpose_edge.config import GeneratedSource, LabelledSource
from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.data.generated.scene import MOST_PEOPLE
from erpose_edge.data.packed_labels import PackedLabels
from erpose_edge.data.sample import Sample, sample_of
from erpose_edge.errors import DataError, ImageError
from erpose_edge.metrics.image_labels import ImageLabels, Rejected
from erpose_edge.metrics.labels import read_labels
from erpose_edge.runtime.images import read_image
from erpose_edge.skeleton import Skeleton


class Source(Protocol):
    """Labelled images by index."""

    rejected: list[Rejected]

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def extent(self, index: int) -> tuple[int, int, int]:
        """Return height and width of image ``index`` in pixels, and how many people at most."""
        ...

    def entry(self, index: int) -> tuple[NDArray[np.uint8] | Path, ImageLabels]:
        """Return image ``index``, or the path to read it from, and its labels."""
        ...

    def image_and_labels(self, index: int) -> tuple[NDArray[np.uint8], ImageLabels]:
        """Return image ``index``, BGR uint8, and its labels.

        Raises:
            ImageError: The image cannot be read, or is of another size than its labels.
        """
        ...

    def sample(self, index: int) -> Sample:
        """Return image ``index`` as a sample; raises as ``image_and_labels``."""
        ...


@dataclass
class Photographs:
    """A label file and its folder of images."""

    labels: Sequence[ImageLabels]
    images: Path
    rejected: list[Rejected]

    def __len__(self) -> int:
        return len(self.labels)

    def extent(self, index: int) -> tuple[int, int, int]:
        """See `Source`."""
        labels = self.labels[index]
        return labels.height, labels.width, len(labels)

    def entry(self, index: int) -> tuple[Path, ImageLabels]:
        """See `Source`."""
        labels = self.labels[index]
        return self.images / labels.file_name, labels

    def image_and_labels(self, index: int) -> tuple[NDArray[np.uint8], ImageLabels]:
        """See `Source`."""
        path, labels = self.entry(index)
        image = read_image(path)
        if image.shape[:2] != (labels.height, labels.width):
            raise ImageError(
                f"{path}: size: expected {labels.width} x {labels.height} as labelled, "
                f"got {image.shape[1]} x {image.shape[0]}"
            )
        return image, labels

    def sample(self, index: int) -> Sample:
        """See `Source`."""
        return sample_of(*self.image_and_labels(index), complete=False)


@dataclass
class Generated:
    """Generated people; every unlabelled keypoint is known to lie outside the picture."""

    people: GeneratedPeople
    rejected: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.people)

    def extent(self, index: int) -> tuple[int, int, int]:
        """See `Source`; what a scene holds is known when it is drawn."""
        return *self.people.size, MOST_PEOPLE

    def entry(self, index: int) -> tuple[NDArray[np.uint8], ImageLabels]:
        """See `Source`."""
        return self.people[index]

    def image_and_labels(self, index: int) -> tuple[NDArray[np.uint8], ImageLabels]:
        """See `Source`."""
        return self.entry(index)

    def sample(self, index: int) -> Sample:
        """See `Source`."""
        return sample_of(*self.image_and_labels(index), complete=True)


def open_source(config: LabelledSource | GeneratedSource, skeleton: Skeleton) -> Source:
    """Open what a config names.

    Args:
        config: An entry of ``data.train``, or ``data.val``.
        skeleton: Of the run.

    Raises:
        DataError: Label file or image folder cannot be used.
    """
    if isinstance(config, GeneratedSource):
        return Generated(GeneratedPeople(config.count, seed=config.seed, size=config.size))
    labels = read_labels(config.labels, skeleton)
    if not config.images.is_dir():
        raise DataError(f"images {config.images}: expected a folder, got none; check the path")
    return Photographs(PackedLabels(labels.images), config.images, list(labels.rejected))


def weights_of(config: LabelledSource | GeneratedSource, source: Source) -> NDArray[np.float64]:
    """Return how often each image of an opened source is drawn (N,).

    Args:
        config: Its weights.
        source: What `open_source` opened.
    """
    weights = np.full(len(source), config.weight)
    if isinstance(config, LabelledSource) and isinstance(source, Photographs):
        empty = [bool(labels.ignore.all()) for labels in source.labels]
        weights[np.array(empty)] *= config.empty
    return weights

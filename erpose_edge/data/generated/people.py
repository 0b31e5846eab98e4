"""The data set of generated people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from erpose_edge.data.generated.scene import render_scene
from erpose_edge.errors import DataError
from erpose_edge.metrics.image_labels import ImageLabels

# Scenes of one data set are this far from those of the next seed.
_STRIDE = 1 << 32


class GeneratedPeople:
    """Scenes that are drawn when they are asked for; the same ones for a seed on every platform.

    Args:
        count: Number of scenes.
        seed: Data sets with different seeds have no scene in common.
        size: (height, width) of the pictures.

    Raises:
        DataError: ``count`` or ``seed`` is negative.
    """

    def __init__(self, count: int, seed: int = 0, size: tuple[int, int] = (480, 640)) -> None:
        for name, value in (("count", count), ("seed", seed)):
            if value < 0:
                raise DataError(
                    f"generated people {name}: expected 0 or more, got {value}; correct it"
                )
        self.count = count
        self.seed = seed
        self.size = size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, ImageLabels]:
        """Draw a scene: uint8 BGR (height, width, 3), and its labels with image id index + 1."""
        if not 0 <= index < self.count:
            raise IndexError(f"scene {index} of {self.count}")
        image, labels = render_scene(self.seed * _STRIDE + index, self.size)
        name = f"generated_{self.seed}_{index:06d}.png"
        return image, replace(labels, image_id=index + 1, file_name=name)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ImageLabels]]:
        for index in range(self.count):
            yield self[index]

    def labels(self) -> list[ImageLabels]:
        """Return the labels of every scene, without keeping the pictures."""
        return [labels for _, labels in self]

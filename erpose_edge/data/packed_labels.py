"""The labels of many images in a few arrays: every loader process gets a copy of its own.

COCO lists 118,000 images. As one object each, their labels weigh a third of a gigabyte in every
process and take seconds to send there; packed, less than a quarter of that, and no time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from erpose_edge.metrics.image_labels import ImageLabels

_OF_PEOPLE = ("keypoints", "boxes", "areas", "ignore", "annotation_ids", "crowd")


class PackedLabels(Sequence[ImageLabels]):
    """Labelled images, made again when they are asked for.

    Args:
        images: What is packed.
    """

    def __init__(self, images: Sequence[ImageLabels]) -> None:
        self._starts = np.cumsum([0, *(len(image) for image in images)])
        self._people = {
            name: np.concatenate([getattr(image, name) for image in images])
            for name in (_OF_PEOPLE if images else ())
        }
        self._images = np.array([(i.image_id, i.width, i.height) for i in images], np.int64)
        self._names = [image.file_name for image in images]
        self._crowd_indices = [image.crowd_index for image in images]

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> ImageLabels: ...

    @overload
    def __getitem__(self, index: slice) -> list[ImageLabels]: ...

    def __getitem__(self, index: int | slice) -> ImageLabels | list[ImageLabels]:
        """Return the labels of an image, whose arrays must not be written to."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        image_id, width, height = (int(value) for value in self._images[index])
        rows = slice(int(self._starts[index]), int(self._starts[index + 1]))
        return ImageLabels(
            image_id=image_id,
            file_name=self._names[index],
            width=width,
            height=height,
            crowd_index=self._crowd_indices[index],
            **{name: values[rows] for name, values in self._people.items()},
        )

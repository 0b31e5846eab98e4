"""Choose the range of every quantized tensor from what a calibration set makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.errors import DataError
from erpose_edge.metrics.labels import read_labels
from erpose_edge.quantization.fake_quantize import activation_quantizers, set_mode
from erpose_edge.quantization.recipe import CalibrationSet, CocoCalibration, GeneratedCalibration
from erpose_edge.runtime.images import read_image
from erpose_edge.runtime.preprocess import preprocess

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CalibrationImages:
    """The images of a calibration set, preprocessed one at a time.

    Attributes:
        recipe: What they are.
        input_size: (height, width) of the network's input, pixels.
    """

    recipe: CalibrationSet
    input_size: tuple[int, int]

    def __len__(self) -> int:
        recipe = self.recipe
        return recipe.count if isinstance(recipe, GeneratedCalibration) else len(recipe.ids)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield images (1, 3, H, W), RGB in [0, 1].

        Raises:
            DataError: A photograph is missing or is not the one that the recipe means.
        """
        for image in _source_images(self.recipe):
            yield preprocess(image, self.input_size)[0]


def calibrate(
    network: nn.Module,
    images: Iterable[NDArray[np.float32]],
    *,
    observer: str,
    percentile: float,
    progress: Progress | None = None,
) -> None:
    """Set every activation range of ``network`` and switch it to fake-quantization.

    Ranges are those of the float network: int8 noise of one layer does not widen the next one's.

    Args:
        network: As `prepare` returns it; gets into eval mode.
        images: (1, 3, H, W) each, RGB in [0, 1].
        observer: ``minmax``, ``percentile`` or ``mse``.
        percentile: For ``percentile`` only, in percent.
        progress: Called with the images done and their number.

    Raises:
        ConfigError: There are no images, or the network gives values that are not finite.
    """
    network.eval()
    set_mode(network, "observe")
    total = len(images) if isinstance(images, Sized) else 0
    with torch.inference_mode():
        for done, image in enumerate(images, 1):
            network(torch.from_numpy(image))
            if progress:
                progress(done, total)
    for quantizer in activation_quantizers(network).values():
        quantizer.choose_range(observer, percentile)
    set_mode(network, "fake")


def _source_images(recipe: CalibrationSet) -> Iterator[NDArray[np.uint8]]:
    if isinstance(recipe, GeneratedCalibration):
        people = GeneratedPeople(recipe.count, seed=recipe.seed, size=recipe.size)
        yield from (people[index][0] for index in range(len(people)))
        return
    paths = _photographs(recipe)
    if recipe.sha256 is not None:
        digest = hashlib.sha256()
        for path in paths:
            digest.update(path.read_bytes())
        if digest.hexdigest() != recipe.sha256:
            raise DataError(
                f"calibration images {recipe.images}: sha256: expected {recipe.sha256}, got "
                f"{digest.hexdigest()}; use the images that the set was made from"
            )
    for path in paths:
        yield read_image(path)


def _photographs(recipe: CocoCalibration) -> list[Path]:
    files = {labels.image_id: labels.file_name for labels in read_labels(recipe.labels).images}
    missing = [image_id for image_id in recipe.ids if image_id not in files]
    if missing:
        raise DataError(
            f"calibration labels {recipe.labels}: ids: expected images of the file, got "
            f"{missing[0]} (and {len(missing) - 1} more) that it does not have; correct the ids"
        )
    return [recipe.images / files[image_id] for image_id in recipe.ids]

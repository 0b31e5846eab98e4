"""From a picture to the network's input, and back from input pixels to source pixels.

This is the only preprocessing in the project: training's validation, calibration, every engine and
every benchmark call it.

Coordinates name pixels by their centres, as cv2 and COCO's drawing tools do: the centre of the
top-left pixel is (0, 0). Scaling by s therefore maps x to (x + 0.5) * s - 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from erpose_edge.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PADDING = 114  # the grey, 0-255, that fills what the picture leaves free
_LEVELS = (np.arange(256) / 255).astype(np.float32)  # what 8 bits stand for


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the network's input: scaled, and centred between grey bars.

    The two scales differ by less than one part in the picture's length: the scaled picture has
    whole pixels, so its aspect ratio is rounded.

    Attributes:
        scale_x: Input pixels a source pixel, along x.
        scale_y: The same along y.
        pad_x: Whole input pixels left of the picture.
        pad_y: Whole input pixels above the picture.
        source_size: (height, width) of the picture in source pixels.
        input_size: (height, width) of the network's input.
    """

    scale_x: float
    scale_y: float
    pad_x: int
    pad_y: int
    source_size: tuple[int, int]
    input_size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Input pixels a source pixel, the geometric mean of both axes."""
        return float((self.scale_x * self.scale_y) ** 0.5)

    def to_input(self, points: NDArray[Any]) -> NDArray[Any]:
        """Map points (..., 2), x and y in source pixels, to input pixels."""
        gain, shift = self._to_input[_floating(points)]
        return np.asarray(points * gain + shift)

    def to_source(self, points: NDArray[Any]) -> NDArray[Any]:
        """Map points (..., 2), x and y in input pixels, to source pixels."""
        gain, shift = self._to_source[_floating(points)]
        return np.asarray(points * gain + shift)

    @cached_property
    def _to_input(self) -> dict[type, tuple[NDArray[Any], NDArray[Any]]]:
        scale = np.array((self.scale_x, self.scale_y))
        pad = np.array((self.pad_x, self.pad_y))
        return _in_both_precisions(scale, 0.5 * scale - 0.5 + pad)

    @cached_property
    def _to_source(self) -> dict[type, tuple[NDArray[Any], NDArray[Any]]]:
        scale = np.array((self.scale_x, self.scale_y))
        pad = np.array((self.pad_x, self.pad_y))
        return _in_both_precisions(1 / scale, (0.5 - pad) / scale - 0.5)


@dataclass(frozen=True)
class _Fit:
    """Where the scaled picture lies and how it gets there."""

    letterbox: Letterbox
    halvings: int  # times both sides are halved before the last, linear step
    size: tuple[int, int]  # (height, width) of the scaled picture in input pixels


def _fit(source_size: tuple[int, int], input_size: tuple[int, int]) -> _Fit:
    height, width = source_size
    scale = min(input_size[0] / height, input_size[1] / width)
    scaled_h = min(max(round(height * scale), 1), input_size[0])
    scaled_w = min(max(round(width * scale), 1), input_size[1])
    # A linear resize reads four source pixels however many it passes over, so it aliases below
    # half size. Halving with a mean first costs 0.2 ms for 1080p; INTER_AREA alone 1.2-2.4 ms.
    halvings = 0
    while scale * 2 ** (halvings + 1) <= 1 and min(height, width) >> (halvings + 1):
        halvings += 1
    used_h = height >> halvings << halvings  # an odd last row or column is left out
    used_w = width >> halvings << halvings
    letterbox = Letterbox(
        scale_x=scaled_w / used_w,
        scale_y=scaled_h / used_h,
        pad_x=(input_size[1] - scaled_w) // 2,
        pad_y=(input_size[0] - scaled_h) // 2,
        source_size=source_size,
        input_size=input_size,
    )
    return _Fit(letterbox, halvings, (scaled_h, scaled_w))


def letterbox(
    image: NDArray[np.uint8], input_size: tuple[int, int]
) -> tuple[NDArray[np.uint8], Letterbox]:
    """Scale a picture into ``input_size``, centred, without changing its aspect ratio.

    Args:
        image: BGR (H, W, 3).
        input_size: (height, width) in input pixels.

    Returns:
        BGR of ``input_size`` with grey bars, and how the picture lies in it.

    Raises:
        ImageError: ``image`` is not such an array.
    """
    image = checked_image(image)
    fit = _fit(_size(image), input_size)
    canvas = np.full((*input_size, 3), PADDING, np.uint8)
    top, left = fit.letterbox.pad_y, fit.letterbox.pad_x
    canvas[top : top + fit.size[0], left : left + fit.size[1]] = _scaled(image, fit, {})
    return canvas, fit.letterbox


def preprocess(
    image: NDArray[np.uint8], input_size: tuple[int, int]
) -> tuple[NDArray[np.float32], Letterbox]:
    """Turn a picture into the network's input; `Preprocessor` does the same for many frames.

    Args:
        image: BGR (H, W, 3).
        input_size: (height, width) in input pixels.

    Returns:
        RGB (1, 3, H, W) in [0, 1], and how the picture lies in it.

    Raises:
        ImageError: ``image`` is not such an array.
    """
    return Preprocessor(input_size)(image)


class Preprocessor:
    """`preprocess` with memory that is used again: what a camera's frames go through.

    The array it returns is overwritten by the next call. Taking new memory for every frame costs as
    much as the arithmetic.

    Args:
        input_size: (height, width) in input pixels.
        layout: Of the memory, "NCHW" or "NHWC"; the array's shape and values are the same in both,
            but an engine that takes one of them would have to copy the other in strides.
    """

    def __init__(self, input_size: tuple[int, int], layout: str = "NCHW") -> None:
        self._input_size = input_size
        self._channels_last = layout == "NHWC"
        if self._channels_last:
            self._images = np.empty((1, *input_size, 3), np.float32).transpose(0, 3, 1, 2)
        else:
            self._images = np.empty((1, 3, *input_size), np.float32)
        self._fit: _Fit | None = None
        self._planes: list[NDArray[np.uint8]] = []
        self._steps: dict[int, NDArray[np.uint8]] = {}

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Letterbox]:
        """Turn a picture into the network's input.

        Args:
            image: BGR (H, W, 3), of any size; a change of size costs a little once.

        Returns:
            RGB (1, 3, H, W) in [0, 1], valid until the next call, and how the picture lies in it.

        Raises:
            ImageError: ``image`` is not such an array.
        """
        image = checked_image(image)
        fit = self._fit
        if fit is None or fit.letterbox.source_size != _size(image):
            fit = self._start(_size(image))
        height, width = fit.size
        top, left = fit.letterbox.pad_y, fit.letterbox.pad_x
        scaled = _scaled(image, fit, self._steps)
        region = self._images[0, :, top : top + height, left : left + width]
        # Memory bounds this step; cv2 at least writes it with several threads.
        if self._channels_last:
            cv2.cvtColor(scaled, cv2.COLOR_BGR2RGB, dst=self._planes[0])
            cv2.LUT(self._planes[0], _LEVELS, dst=region.transpose(1, 2, 0))
            return self._images, fit.letterbox
        cv2.split(scaled, self._planes)
        for channel, plane in enumerate(self._planes):
            cv2.LUT(plane, _LEVELS, dst=region[2 - channel])
        return self._images, fit.letterbox

    def _start(self, source_size: tuple[int, int]) -> _Fit:
        self._fit = _fit(source_size, self._input_size)
        self._images.fill(_LEVELS[PADDING])
        if self._channels_last:
            self._planes = [np.empty((*self._fit.size, 3), np.uint8)]
        else:
            self._planes = [np.empty(self._fit.size, np.uint8) for _ in range(3)]
        self._steps = {}
        return self._fit


def checked_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``image`` with rows laid out one after the other.

    Raises:
        ImageError: It is not a BGR picture as cv2 reads them.
    """
    expected = "image: expected uint8 BGR of shape (H, W, 3)"
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{expected}, got {type(image).__name__}; read it with cv2.imread")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"{expected}, got {image.dtype} {image.shape}; convert it with cv2")
    if image.size == 0:
        raise ImageError(f"{expected}, got an empty array {image.shape}; check where it is cut out")
    return np.ascontiguousarray(image)


def _size(image: NDArray[np.uint8]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _scaled(
    image: NDArray[np.uint8], fit: _Fit, memory: dict[int, NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Return the picture at ``fit.size``; ``memory`` keeps the arrays for the next call."""
    for step in range(fit.halvings):
        height, width = image.shape[0] // 2, image.shape[1] // 2
        even = image[: 2 * height, : 2 * width]
        image = _resized(even, (height, width), cv2.INTER_AREA, memory, step)
    if _size(image) == fit.size:
        return image
    return _resized(image, fit.size, cv2.INTER_LINEAR, memory, fit.halvings)


def _resized(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    interpolation: int,
    memory: dict[int, NDArray[np.uint8]],
    slot: int,
) -> NDArray[np.uint8]:
    target = memory.get(slot)
    if target is None:
        target = memory[slot] = np.empty((*size, 3), np.uint8)
    cv2.resize(image, (size[1], size[0]), dst=target, interpolation=interpolation)
    return target


def _floating(points: NDArray[Any]) -> type:
    """Return the type to compute with: what goes in as float32 comes out as float32."""
    return np.float32 if points.dtype == np.float32 else np.float64


def _in_both_precisions(
    gain: NDArray[np.float64], shift: NDArray[np.float64]
) -> dict[type, tuple[NDArray[Any], NDArray[Any]]]:
    return {kind: (gain.astype(kind), shift.astype(kind)) for kind in (np.float32, np.float64)}

"""Augmentation: mosaic, affine map, mirror, people-paste and colour, from one random generator.

Every function draws from the generator it is given and from nothing else, so a sample depends on
its seed only, whatever process makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from erpose_edge.config import AugmentationConfig
from erpose_edge.data.pasting import only, put_in_front, silhouette
from erpose_edge.data.sample import Sample, join, warp
from erpose_edge.runtime.preprocess import PADDING
from erpose_edge.skeleton import Skeleton

Draw = Callable[[np.random.Generator], Sample]

_LIMB_THICKNESS = 0.34  # of the square root of a person's area
_FEWEST_TO_PASTE = 8  # labelled keypoints that a pasted person needs to be cut out by


def augment(
    first: Sample,
    draw: Draw,
    rng: np.random.Generator,
    config: AugmentationConfig,
    size: tuple[int, int],
    skeleton: Skeleton,
    *,
    mosaic: bool = True,
) -> Sample:
    """Return a training sample made from ``first`` and others.

    Args:
        first: The sample whose turn it is.
        draw: Returns another sample, for mosaic and paste.
        rng: The only source of chance.
        config: How much of everything.
        size: (height, width) of the result.
        skeleton: Of the keypoints.
        mosaic: False switches mosaics off, for the last epochs.
    """
    if mosaic and rng.random() < config.mosaic:
        sample = _mosaic(first, draw, rng, config, size, skeleton)
    else:
        window = (0, 0, size[1], size[0])
        sample = warp(first, _matrix(first, rng, config, window, 1.0), size, skeleton)
    if rng.random() < config.paste:
        sample = paste_person(sample, draw(rng), rng, config, skeleton)
    return replace(sample, image=_colour(sample.image, rng, config))


def useful_size(
    image: tuple[int, int], size: tuple[int, int], config: AugmentationConfig
) -> tuple[int, int]:
    """Return the (height, width) that an image is worth keeping at: more is never looked at.

    An image goes down by a whole factor, and only if as many pixels are left as the largest zoom
    shows. (A mosaic's windows show fewer; a small person that is pasted may show more.)

    Args:
        image: (height, width) on disk.
        size: (height, width) of training samples.
        config: The zooms.
    """
    largest = config.scale[1] * min(size[0] / image[0], size[1] / image[1])
    factor = max(1, int(1 / largest))
    return -(-image[0] // factor), -(-image[1] // factor)


def _matrix(
    sample: Sample,
    rng: np.random.Generator,
    config: AugmentationConfig,
    window: tuple[int, int, int, int],
    zoom: float,
) -> NDArray[np.float64]:
    """Return a random map of ``sample`` into ``window`` (x0, y0, x1, y1), as (2, 3)."""
    height, width = sample.image.shape[:2]
    span_x, span_y = window[2] - window[0], window[3] - window[1]
    fit = min(span_x / width, span_y / height)
    low, high = np.log(config.scale)
    scale = fit * zoom * float(np.exp(rng.uniform(low, high)))
    angle = np.deg2rad(rng.uniform(-config.rotate_deg, config.rotate_deg))
    mirror = -1.0 if rng.random() < config.mirror else 1.0
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cosine * mirror, -sine], [sine * mirror, cosine]])
    jitter = rng.uniform(-config.translate, config.translate, 2) * (span_x, span_y)
    target = np.array([(window[0] + window[2]) / 2, (window[1] + window[3]) / 2]) + jitter
    shift = target - linear @ np.array([width / 2, height / 2])
    return np.concatenate([linear, shift[:, None]], 1)


def _mosaic(
    first: Sample,
    draw: Draw,
    rng: np.random.Generator,
    config: AugmentationConfig,
    size: tuple[int, int],
    skeleton: Skeleton,
) -> Sample:
    """Return four samples around a random cross.

    Ref: Bochkovskiy et al., "YOLOv4", 2020, https://arxiv.org/abs/2004.10934
    """
    height, width = size
    cross_x, cross_y = int(rng.uniform(0.3, 0.7) * width), int(rng.uniform(0.3, 0.7) * height)
    windows = [
        (0, 0, cross_x, cross_y),
        (cross_x, 0, width, cross_y),
        (0, cross_y, cross_x, height),
        (cross_x, cross_y, width, height),
    ]
    canvas = np.full((height, width, 3), PADDING, np.uint8)
    parts = []
    order = rng.permutation(4)
    for turn, place in enumerate(order):
        window = windows[place]
        tile = first if turn == 0 else draw(rng)
        matrix = _matrix(tile, rng, config, window, 1.25)
        matrix[:, 2] -= window[:2]  # into the window's own frame: nothing outside is warped
        shape = (window[3] - window[1], window[2] - window[0])
        part = warp(tile, matrix, shape, skeleton)
        canvas[window[1] : window[3], window[0] : window[2]] = part.image
        offset = np.array(window[:2], np.float32)
        parts.append(
            replace(part, keypoints=part.keypoints + offset, boxes=part.boxes + np.tile(offset, 2))
        )
    return join(canvas, parts)


def paste_person(
    sample: Sample,
    other: Sample,
    rng: np.random.Generator,
    config: AugmentationConfig,
    skeleton: Skeleton,
) -> Sample:
    """Return ``sample`` with one person of ``other`` in front of its people, limb for limb.

    Keypoints that the newcomer covers become hidden. Without a person to cut out, ``sample`` is
    returned as it is.
    """
    labelled = (other.flags > 0).sum(1)
    able = np.flatnonzero((labelled >= _FEWEST_TO_PASTE) & ~other.ignored)
    if not len(able):
        return sample
    person = int(rng.choice(able))
    height, width = sample.image.shape[:2]
    tall = max(float(np.ptp(other.boxes[person, 1::2])), 1.0)
    wide = max(float(np.ptp(other.boxes[person, 0::2])), 1.0)
    zoom = 0.6 * other.image.shape[0] / max(tall, wide)
    matrix = _matrix(other, rng, config, (0, 0, width, height), zoom)
    middle = (other.boxes[person, :2] + other.boxes[person, 2:]) / 2
    matrix[:, 2] += np.array([width, height]) * rng.uniform(0.15, 0.85, 2) - (
        matrix[:, :2] @ middle + matrix[:, 2]
    )
    newcomer = warp(only(other, person), matrix, (height, width), skeleton)
    if not len(newcomer.flags):
        return sample
    thickness = max(3, int(_LIMB_THICKNESS * float(np.sqrt(newcomer.areas[0]))))
    points, known = newcomer.keypoints[0], newcomer.flags[0] > 0
    mask = silhouette((height, width), points, known, thickness, skeleton)
    return put_in_front(sample, newcomer, mask)


def _colour(
    image: NDArray[np.uint8], rng: np.random.Generator, config: AugmentationConfig
) -> NDArray[np.uint8]:
    """Return ``image`` with changed hue, saturation and brightness."""
    gain = 1 + rng.uniform(-1, 1, 2) * (config.saturation, config.value)
    turn = rng.uniform(-1, 1) * config.hue * 180
    if not (config.hue or config.saturation or config.value):
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    steps = np.arange(256)
    table = np.stack(
        [
            ((steps + turn) % 180).astype(np.uint8),
            np.clip(steps * gain[0], 0, 255).astype(np.uint8),
            np.clip(steps * gain[1], 0, 255).astype(np.uint8),
        ],
        -1,
    )
    return np.asarray(cv2.cvtColor(cv2.LUT(hsv, table[None]), cv2.COLOR_HSV2BGR), np.uint8)

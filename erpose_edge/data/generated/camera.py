"""Camera: what happens to a finished scene between the light and the file."""

from __future__ import annotations

import cv2
import numpy as np

from erpose_edge.data.generated.dice import Dice


def expose(dice: Dice, image: np.ndarray) -> np.ndarray:
    """Apply exposure, colour cast, blur, sensor noise and compression blocks to a BGR picture."""
    image = cv2.LUT(image, _curves(dice))
    blur = dice.weighted(((1, 3), (3, 6), (5, 2), (7, 0.5)))
    if dice.chance(0.12):  # A small picture, enlarged.
        height, width = image.shape[:2]
        part = dice.between(0.35, 0.8)
        small = (max(1, int(width * part)), max(1, int(height * part)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_LINEAR_EXACT)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    elif blur > 1:
        image = cv2.GaussianBlur(image, (blur, blur), 0)
    if dice.chance(0.04):  # Black and white.
        grey = image.astype(np.uint16)
        level = ((grey[:, :, 0] + 2 * grey[:, :, 1] + grey[:, :, 2]) >> 2).astype(np.uint8)
        image = cv2.merge((level, level, level))
    if dice.chance(0.6):
        add_grain(dice, image)
    if dice.chance(0.3):
        _blocks(image, dice.whole(10, 60))
    return image


def _curves(dice: Dice) -> np.ndarray:
    """Return one tone curve a channel, uint8 (1, 256, 3): gain, lift and a bend in the middle."""
    value = np.arange(256, dtype=np.int64)
    gain, bend, lift = dice.between(0.75, 1.12), dice.between(-0.4, 0.4), dice.whole(-10, 25)
    curves = []
    for _ in range(3):
        g = int(256 * gain * dice.between(0.9, 1.1))
        b = int(256 * (bend + dice.between(-0.1, 0.1)))
        bent = value + ((b * value * (255 - value)) >> 16)
        curves.append(np.clip(((g * bent) >> 8) + lift, 0, 255).astype(np.uint8))
    return np.stack(curves, axis=-1)[None]


def add_grain(dice: Dice, image: np.ndarray, strength: int | None = None) -> None:
    """Add sensor noise, in place: 1 to about 12 grey levels, for strengths from 2 to 40."""
    height, width = image.shape[:2]
    strength = dice.whole(2, 40) if strength is None else strength
    coloured = dice.chance(0.5)
    channels = []
    for channel in range(3):
        if channel == 0 or coloured:
            noise = dice.noise((height, width), "grain").astype(np.int16)
            noise -= 128
            noise *= strength
            noise >>= 7
        channels.append(noise)
    layer = np.stack(channels, axis=-1)
    layer += image
    np.clip(layer, 0, 255, out=layer)
    image[:] = layer


def _blocks(image: np.ndarray, step: int) -> None:
    """Coarsen the detail of 8 x 8 blocks, in place, as strong compression does.

    A Hadamard transform in integers stands in for the cosine transform of JPEG, so that the result
    does not depend on a codec.
    """
    height, width = image.shape[0] // 8 * 8, image.shape[1] // 8 * 8
    if height == 0 or width == 0:
        return
    view = image[:height, :width]
    wide = view.astype(np.int16)
    level = (wide[:, :, 0] + 2 * wide[:, :, 1] + wide[:, :, 2]) >> 2
    blocks = level.reshape(height // 8, 8, width // 8, 8).astype(np.int32)
    spectrum = _hadamard(_hadamard(blocks, 1), 3)
    order = np.array((0, 7, 3, 4, 1, 6, 2, 5))  # Sign changes of each row of the transform.
    steps = (step * 8 * (1 + order[:, None, None] + order[None, None, :])) >> 2
    coarse = (spectrum + (steps >> 1)[None]) // steps[None] * steps[None]
    coarse[:, 0, :, 0] = spectrum[:, 0, :, 0]
    back = (_hadamard(_hadamard(coarse, 1), 3) + 32) >> 6
    change = (back - blocks).reshape(height, width).astype(np.int16)
    wide += change[:, :, None]
    view[:] = np.clip(wide, 0, 255)


def _hadamard(blocks: np.ndarray, axis: int) -> np.ndarray:
    """Apply the Walsh-Hadamard transform of length 8 along an axis of length 8, unscaled."""
    out = np.moveaxis(blocks, axis, 0)
    for half in (4, 2, 1):
        pairs = out.reshape(8 // (2 * half), 2, half, *out.shape[1:])
        out = np.concatenate((pairs[:, :1] + pairs[:, 1:], pairs[:, :1] - pairs[:, 1:]), axis=1)
        out = out.reshape(8, *out.shape[3:])
    return np.moveaxis(out, 0, axis)

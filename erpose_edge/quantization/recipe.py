"""Calibration sets and policies: the data of ``calibration/`` that quantization reads.

A calibration set says which images the ranges are taken from, and never carries an image; a policy
says which convolutions stay float and how the others are quantized.
"""

from __future__ import annotations

import hashlib
import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, RootModel

from erpose_edge.config import Count, FilePath, Size, Whole
from erpose_edge.config_file import StrictModel, read_yaml
from erpose_edge.resources import find_resource, list_resources

Text = Annotated[str, Field(min_length=1)]


class GeneratedCalibration(StrictModel):
    """Scenes of generated people.

    Attributes:
        kind: ``generated``.
        description: One line for people.
        count: Number of scenes.
        seed: First scene.
        size: (height, width) of the scenes in pixels; the letterbox to the network's input size
            follows as everywhere.
    """

    kind: Literal["generated"]
    description: Text
    count: Count
    seed: Whole
    size: Size


class CocoCalibration(StrictModel):
    """Photographs of a COCO-format data set, by image id.

    Attributes:
        kind: ``coco``.
        description: One line for people.
        labels: Label file (JSON), which maps ids to file names.
        images: Folder of the images.
        ids: Image ids, in the order in which they are shown to the observers.
        sha256: Of the images' bytes one after the other in that order, so that another copy of
            the data set cannot change a range unseen; null checks nothing.
    """

    kind: Literal["coco"]
    description: Text
    labels: FilePath
    images: FilePath
    ids: Annotated[list[Whole], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


CalibrationSet = GeneratedCalibration | CocoCalibration


class WeightRule(StrictModel):
    """How the weights of a quantized convolution become integers: symmetric, zero point 0.

    Attributes:
        bits: Of convolutions whose input is never negative, as behind ReLU.
        bits_where_signed: Of all others. Int8 kernels for AVX2 without VNNI saturate there with 8
            bits; 8 is for networks that never run on such a processor.
        per_channel: One scale per output channel instead of one per tensor.
    """

    bits: Annotated[int, Field(ge=7, le=8)] = 8
    bits_where_signed: Annotated[int, Field(ge=7, le=8)] = 7
    per_channel: bool = True


class ActivationRule(StrictModel):
    """How activations become integers: per tensor, symmetric, zero point 0.

    Attributes:
        bits: Signed bits; a tensor that is never negative uses the positive half. No choice:
            engines cut int8 tensors nowhere else.
    """

    bits: Literal[8] = 8


class Dialect(StrictModel):
    """How one engine is told of the same scales.

    Attributes:
        not_negative: Integer type of tensors that are never negative (after ReLU); the scale is
            the same in both, ``uint8`` then holds 0..127 of 0..255.
        why: The reason, for people.
    """

    not_negative: Literal["int8", "uint8"]
    why: Text


class Policy(StrictModel):
    """What is quantized, and how.

    Attributes:
        description: One line for people.
        keep_float: Patterns of module names that stay float, ``*`` matching any text; a pattern
            covers everything inside the module that it names. Decoding (sigmoid, grid, TopK) is
            not a module that could be quantized and is always float.
        weights: Of all other convolutions.
        activations: Their inputs and outputs.
        dialects: By engine.
        max_extra_conversions: QUANTIZE and DEQUANTIZE operations that an engine's file may have
            beyond the needed ones: one where an int8 layer reads what a float layer made (behind
            the stem), one for every int8 tensor that a float layer reads (in front of the head's
            outputs). Every further one is the border of a float island, or a change of scale.
    """

    description: Text
    keep_float: list[Text]
    weights: WeightRule = WeightRule()
    activations: ActivationRule = ActivationRule()
    dialects: dict[Literal["openvino", "onnxruntime", "tensorrt", "tflite"], Dialect]
    max_extra_conversions: Whole = 0

    def is_float(self, module: str) -> bool:
        """Return whether the module called ``module`` (as in ``named_modules``) stays float."""
        parts = module.split(".")
        prefixes = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        return any(fnmatchcase(name, p) for name in prefixes for p in self.keep_float)


def load_calibration(name: str | Path) -> CalibrationSet:
    """Return the calibration set at the path, or bundled under the name, ``name``.

    Raises:
        ConfigError: There is none, or its file has a mistake.
    """
    return read_yaml(find_resource("calibration", name), _CalibrationFile).root


def load_policy(name: str | Path) -> Policy:
    """Return the policy at the path, or bundled under the name, ``name``.

    Args:
        name: ``default`` is the bundled ``policies/default``.

    Raises:
        ConfigError: There is none, or its file has a mistake.
    """
    bundled = f"policies/{name}"
    known = not Path(name).is_file() and bundled in list_resources("calibration")
    return read_yaml(find_resource("calibration", bundled if known else name), Policy)


def fingerprint(recipe: CalibrationSet | Policy) -> str:
    """Return the sha256 of what ``recipe`` says, whatever its comments, order and line ends."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class _CalibrationFile(RootModel[Annotated[CalibrationSet, Field(discriminator="kind")]]):
    pass

"""What one side of a comparison computed on its way from pictures to poses.

A capture holds, for every picture, the values at each stage. It is made on a device as well as at
home, and written to a file by `erpose_edge.validate.parity.file`.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

import erpose_edge
from erpose_edge.runtime.preprocess import Letterbox
from erpose_edge.validate.parity.layers import Layer, raw_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.runtime.poses import Poses

    Arrays = dict[str, NDArray[Any]]

# Values of a layer that are kept, at places that its size alone decides; heads are kept whole.
SAMPLED = 16_384


class LayerRunner(Protocol):
    """A network on an engine that also gives what its layers compute.

    Attributes:
        layers: Those it gives, in the order of the graph.
    """

    layers: tuple[Layer, ...]

    def run(self, images: NDArray[np.float32]) -> tuple[Arrays, Arrays]:
        """Run the network on RGB images (1, 3, H, W) in [0, 1].

        Returns:
            Layers by name, (1, C, h, w) float32, dequantized; and the contract's outputs by name.
        """


@dataclass(frozen=True)
class Picture:
    """One picture to run on.

    Attributes:
        name: Its file's name, or how it was made.
        image: BGR (H, W, 3), 8 bits.
        file_sha256: Of the file; "" where there is none.
    """

    name: str
    image: NDArray[np.uint8]
    file_sha256: str = ""


@dataclass(frozen=True)
class Side:
    """Which network computed, and how.

    Attributes:
        source: What was opened, as it was named.
        kind: "artifact" or "weights".
        engine: Name and version.
        precision: "fp32", "fp16" or "int8".
        contract: "raw", "decoded" or "compact".
        input_size: (height, width) in pixels.
        strides: Of the levels, in input pixels, ascending.
        skeleton: Name of the keypoints' convention.
        max_poses: At most so many poses are returned.
        score_threshold: Poses with a lower score are not shown.
        nms: Overlap above which poses are suppressed, or None.
        weights_sha256: Of the weights file; "" where it is not known.
        artifact_sha256: Of the artifact's manifest, which holds the hashes of its files; or "".
        versions: Version by tool.
        layers: Those that were looked into, in the order of the graph.
        missing: Why there are no layers; "" where there are.
    """

    source: str
    kind: str
    engine: str
    precision: str
    contract: str
    input_size: tuple[int, int]
    strides: tuple[int, ...]
    skeleton: str
    max_poses: int
    score_threshold: float
    nms: float | None
    weights_sha256: str
    artifact_sha256: str
    versions: dict[str, str]
    layers: tuple[Layer, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Frame:
    """What a side computed for one picture.

    Attributes:
        picture: The picture.
        letterbox: How it lies in the input.
        images: The network's input, RGB (1, 3, H, W) in [0, 1].
        outputs: The contract's outputs, by name.
        decoded: Poses in input pixels, however low their score.
        poses: The same in source pixels.
        layers: A sample of what each layer gives, by name, (n,).
        heads: Outputs of the head as the contract ``raw`` names them, whole; may be empty.
        beside: The contract's outputs of the run that also gave the layers; may be empty.
    """

    picture: Picture
    letterbox: Letterbox
    images: NDArray[np.float32]
    outputs: Arrays
    decoded: Poses
    poses: Poses
    layers: Arrays = field(default_factory=dict)
    heads: Arrays = field(default_factory=dict)
    beside: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Capture:
    """What one side computed for all pictures."""

    side: Side
    frames: tuple[Frame, ...]


def capture(
    estimator: PoseEstimator,
    side: Side,
    pictures: Iterable[Picture],
    layers: LayerRunner | None = None,
    advance: Callable[[int, int], object] | None = None,
) -> Capture:
    """Run an estimator on pictures and keep every stage.

    Args:
        estimator: Its outputs and poses are what is deployed.
        side: What it is.
        pictures: At least one.
        layers: The same network with its layers as outputs; None where the engine gives none.
        advance: Called with how many are done, and how many there are or 0.

    Raises:
        ImageError: A picture is no BGR array.
    """
    frames = []
    threshold, estimator.score_threshold = estimator.score_threshold, 0.0
    try:
        for done, picture in enumerate(pictures, start=1):
            frames.append(_frame(estimator, side, picture, layers))
            if advance is not None:
                advance(done, 0)
    finally:
        estimator.score_threshold = threshold
    return Capture(side, tuple(frames))


def artifact_side(
    estimator: PoseEstimator, artifact: Artifact, layers: LayerRunner | None, missing: str
) -> Side:
    """Return what an artifact is that ``estimator`` was opened from."""
    manifest = artifact.manifest
    return Side(
        source=str(artifact.folder),
        kind="artifact",
        engine=estimator.runner.engine,
        precision=manifest.precision,
        contract=manifest.contract,
        input_size=manifest.input_size,
        strides=manifest.strides,
        skeleton=manifest.skeleton,
        max_poses=manifest.max_poses,
        score_threshold=manifest.score_threshold,
        nms=manifest.nms,
        weights_sha256=manifest.weights_sha256,
        artifact_sha256=hashlib.sha256(manifest.to_bytes()).hexdigest(),
        versions=versions(),
        layers=() if layers is None else layers.layers,
        missing=missing,
    )


def versions() -> dict[str, str]:
    """Return the versions of what computes besides the engine."""
    return {
        "erpose-edge": erpose_edge.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cv2": cv2.__version__,
        "machine": platform.machine(),
    }


def sample(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return at most `SAMPLED` of ``values``, at the same places for every array of one size."""
    flat: NDArray[np.float32] = np.asarray(values, np.float32).ravel()
    if flat.size <= SAMPLED:
        return np.array(flat)
    # The legacy generator gives the same numbers in every version of numpy.
    places = np.random.RandomState(flat.size & 0x7FFFFFFF).randint(0, flat.size, SAMPLED)
    return np.asarray(flat[places], np.float32)


def in_input_pixels(input_size: tuple[int, int]) -> Letterbox:
    """Return the letterbox that leaves points where they are."""
    return Letterbox(1.0, 1.0, 0, 0, input_size, input_size)


def _frame(
    estimator: PoseEstimator, side: Side, picture: Picture, layers: LayerRunner | None
) -> Frame:
    images, letterbox = estimator.preprocess(picture.image)
    images = np.array(images, order="C")  # the estimator uses its memory again
    outputs = {name: np.array(array) for name, array in estimator.infer(images).items()}
    inside, beside = ({}, {}) if layers is None else layers.run(images)
    whole = raw_outputs(side.strides, inside)
    heads = {name: inside[layer] for name, layer in whole.items()}
    if side.contract == "raw":
        heads = outputs
    return Frame(
        picture=picture,
        letterbox=letterbox,
        images=images,
        outputs=outputs,
        decoded=estimator.decode(outputs, in_input_pixels(side.input_size)),
        poses=estimator.decode(outputs, letterbox),
        layers={layer.name: sample(inside[layer.name]) for layer in side.layers},
        heads=heads,
        beside=beside,
    )

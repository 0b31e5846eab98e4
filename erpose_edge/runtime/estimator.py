"""A picture in, poses out: preprocessing, a runner and decoding joined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import RequestError
from erpose_edge.runtime.artifact import Artifact, read_artifact
from erpose_edge.runtime.decode import decode, output_names
from erpose_edge.runtime.preprocess import Preprocessor
from erpose_edge.runtime.runner import open_runner
from erpose_edge.skeleton import Skeleton, skeleton_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from erpose_edge.runtime.poses import Poses
    from erpose_edge.runtime.preprocess import Letterbox
    from erpose_edge.runtime.runner import Runner


@dataclass(frozen=True)
class PoseContract:
    """What has to be known of a network to use it: the part of a manifest that decoding needs.

    Attributes:
        outputs: "raw", "decoded" or "compact"; see `erpose_edge.runtime.decode`.
        input_size: (height, width) in pixels.
        strides: Of the levels, in input pixels, ascending.
        max_poses: At most so many poses are returned.
        skeleton: The keypoints' convention.
        score_threshold: Poses with a lower score are left out, unless the user says otherwise.
        nms: Overlap above which the pose with the lower score goes; None where the network
            answers once for a person.
    """

    outputs: str
    input_size: tuple[int, int]
    strides: tuple[int, ...]
    max_poses: int
    skeleton: Skeleton
    score_threshold: float = 0.3
    nms: float | None = None

    @classmethod
    def of(cls, artifact: Artifact) -> PoseContract:
        """Return the contract that an artifact's manifest states."""
        manifest = artifact.manifest
        return cls(
            manifest.contract,
            manifest.input_size,
            manifest.strides,
            manifest.max_poses,
            skeleton_named(manifest.skeleton),
            manifest.score_threshold,
            manifest.nms,
        )


class PoseEstimator:
    """Find people's keypoints in pictures.

    Example:
        >>> estimator = PoseEstimator("runs/openvino-cpu/artifact")  # doctest: +SKIP
        >>> poses = estimator(cv2.imread("photo.jpg"))  # doctest: +SKIP

    ``preprocess``, ``infer`` and ``decode`` are the three steps of a call, so that they can be
    timed apart. One estimator serves one thread: its memory is used again for every picture.

    Attributes:
        artifact: What it was opened from; None where a runner was given.
        contract: Input size, outputs and skeleton.
        runner: The network on its engine.
        score_threshold: Poses with a lower score are left out, in [0, 1]; may be set.
    """

    def __init__(
        self,
        source: Artifact | PoseContract | str | Path,
        *,
        runner: Runner | None = None,
        score_threshold: float | None = None,
        threads: int | None = None,
    ) -> None:
        """Open an artifact.

        Args:
            source: An artifact or its folder; or a contract, for a network in ``runner``.
            runner: Runs the network; by default the engine that the artifact names.
            score_threshold: Poses with a lower score are left out, in [0, 1]; by default what
                the contract says.
            threads: How many the engine may use; its own choice by default.

        Raises:
            RequestError: The folder is missing, or a contract came without a runner.
            IntegrityError: The artifact is damaged.
            MissingExtraError: Its engine is not installed.
            TargetError: Its engine does not take it.
        """
        self.artifact: Artifact | None = None
        if isinstance(source, PoseContract):
            self.contract = source
        else:
            self.artifact = source if isinstance(source, Artifact) else read_artifact(source)
            self.contract = PoseContract.of(self.artifact)
            runner = runner or open_runner(self.artifact, threads)
        if runner is None:
            raise RequestError("estimator: expected a runner beside a contract, got none; pass one")
        output_names(self.contract.outputs, self.contract.strides)  # an unknown contract: now
        self.runner: Runner = runner
        self.score_threshold = (
            self.contract.score_threshold if score_threshold is None else score_threshold
        )
        layout = self.artifact.manifest.input.layout if self.artifact else "NCHW"
        self._preprocessor = Preprocessor(self.contract.input_size, layout)

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints' convention."""
        return self.contract.skeleton

    def __call__(self, frame: NDArray[np.uint8]) -> Poses:
        """Find people in a picture.

        Args:
            frame: BGR (H, W, 3), as cv2 reads it.

        Returns:
            Poses in the picture's own pixels, best first.

        Raises:
            ImageError: ``frame`` is not such an array.
        """
        images, letterbox = self.preprocess(frame)
        return self.decode(self.infer(images), letterbox)

    def preprocess(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Letterbox]:
        """Turn a picture into the network's input, valid until the next call."""
        return self._preprocessor(frame)

    def infer(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; its outputs are valid until the next call."""
        return self.runner.run(images)

    def decode(self, outputs: Mapping[str, NDArray[np.float32]], letterbox: Letterbox) -> Poses:
        """Turn outputs into poses in the picture's own pixels."""
        contract = self.contract
        return decode(
            outputs,
            contract.outputs,
            letterbox,
            contract.strides,
            self.score_threshold,
            contract.max_poses,
            contract.nms,
        )

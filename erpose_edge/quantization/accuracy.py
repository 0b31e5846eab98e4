"""Keypoint AP of a traced network on the validation source of a config."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from erpose_edge.config import RunConfig
from erpose_edge.data.sources import Source, open_source
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.network.plan import STRIDES
from erpose_edge.network.pose_network import DeployNetwork, output_names
from erpose_edge.quantization.calibrate import Progress
from erpose_edge.runtime.estimator import PoseContract, PoseEstimator
from erpose_edge.skeleton import skeleton_named
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, Accuracy, evaluate_estimator

_CONTRACT = "compact"


class GraphRunner:
    """`Runner` for a traced network in torch, fake-quantized or not."""

    engine = f"torch {torch.__version__}"

    def __init__(
        self, network: fx.GraphModule, input_size: tuple[int, int], max_poses: int
    ) -> None:
        self.threads = torch.get_num_threads()
        self._deployed = DeployNetwork(network, _CONTRACT, input_size, max_poses).eval()

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network on RGB images (1, 3, H, W) in [0, 1]."""
        with torch.inference_mode():
            outputs = self._deployed(torch.from_numpy(images))
        arrays = (tensor.numpy() for tensor in outputs)
        return dict(zip(output_names(_CONTRACT), arrays, strict=True))


@dataclass(frozen=True)
class _Samples:
    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], ImageLabels]]:
        return (self.source.image_and_labels(index) for index in range(len(self.source)))


def measure_accuracy(
    network: fx.GraphModule, config: RunConfig, progress: Progress | None = None
) -> Accuracy:
    """Measure ``network`` on ``config.data.val``.

    Args:
        network: As `prepare` or `fold` returned it; runs in the mode that it is in.
        config: Input size, validation source, skeleton.
        progress: Called with the images done and their number.

    Raises:
        DataError: The validation source cannot be used.
    """
    skeleton = skeleton_named(config.skeleton)
    size, max_poses = config.network.input_size, config.export.max_poses
    estimator = PoseEstimator(
        PoseContract(_CONTRACT, size, STRIDES, max_poses, skeleton),
        runner=GraphRunner(network, size, max_poses),
        score_threshold=SCORE_THRESHOLD,
    )
    samples = _Samples(open_source(config.data.val, skeleton))
    return evaluate_estimator(estimator, samples, skeleton, progress)

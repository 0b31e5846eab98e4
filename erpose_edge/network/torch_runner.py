"""The reference runner: a network in torch behind the protocol of every engine's runner."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from erpose_edge.network.plan import STRIDES
from erpose_edge.network.pose_network import DeployNetwork
from erpose_edge.runtime.estimator import PoseContract, PoseEstimator
from erpose_edge.runtime.nms import CANDIDATES
from erpose_edge.skeleton import Skeleton

_CONTRACT = "compact"


class TorchRunner:
    """Runs a network that gives `LevelOutputs`, float or fake-quantized, on the CPU."""

    engine = f"torch {torch.__version__}"

    def __init__(self, network: nn.Module, input_size: tuple[int, int], max_poses: int) -> None:
        self.threads = torch.get_num_threads()
        self._deployed = DeployNetwork(network, _CONTRACT, input_size, max_poses).eval()

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network on RGB images (1, 3, H, W) in [0, 1]."""
        with torch.inference_mode():
            outputs = self._deployed(torch.from_numpy(images))
        arrays = (tensor.numpy() for tensor in outputs)
        return dict(zip(self._deployed.output_names, arrays, strict=True))


def torch_estimator(
    network: nn.Module,
    input_size: tuple[int, int],
    skeleton: Skeleton,
    *,
    max_poses: int = 30,
    score_threshold: float = 0.3,
    nms: float | None = None,
) -> PoseEstimator:
    """Return an estimator that runs ``network`` in torch.

    Args:
        network: In eval mode; gives `LevelOutputs` for images (1, 3, H, W).
        input_size: (height, width) in pixels, multiples of 32.
        skeleton: Of its keypoints.
        max_poses: At most so many poses are returned.
        score_threshold: Poses with a lower score are left out.
        nms: Overlap above which the pose with the lower score goes; None for a network that
            answers once for a person.
    """
    return PoseEstimator(
        PoseContract(_CONTRACT, input_size, STRIDES, max_poses, skeleton, score_threshold, nms),
        runner=TorchRunner(network, input_size, max_poses if nms is None else CANDIDATES),
    )

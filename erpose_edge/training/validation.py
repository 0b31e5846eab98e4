"""Keypoint AP of a network in torch on the validation source of a config."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from erpose_edge.config import RunConfig
from erpose_edge.data.sources import Source, open_source
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.network.torch_runner import torch_estimator
from erpose_edge.skeleton import skeleton_named
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, Accuracy, evaluate_estimator

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SourceSamples:
    """The images of a source, one after the other, with their labels."""

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8] | Path, ImageLabels]]:
        return (self.source.entry(index) for index in range(len(self.source)))


def measure_accuracy(
    network: nn.Module, config: RunConfig, progress: Progress | None = None
) -> Accuracy:
    """Measure ``network`` on ``config.data.val``.

    Args:
        network: In eval mode; gives `LevelOutputs`.
        config: Input size, validation source, skeleton.
        progress: Called with the images done and their number.

    Raises:
        DataError: The validation source cannot be used.
    """
    skeleton = skeleton_named(config.skeleton)
    estimator = torch_estimator(
        network,
        config.network.input_size,
        skeleton,
        max_poses=config.export.max_poses,
        score_threshold=SCORE_THRESHOLD,
        nms=config.nms,
    )
    samples = SourceSamples(open_source(config.data.val, skeleton))
    return evaluate_estimator(estimator, samples, skeleton, progress)

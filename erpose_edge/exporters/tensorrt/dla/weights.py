"""What becomes of weights when TensorRT quantizes them itself.

In implicit int8 it takes each output channel's largest weight as 127. Where the network's own grid
has 127 in every channel, nothing changes; where it stops earlier (weights of seven bits stop at
63), the grid gets finer, and weights move by up to half a step of the new one.

Ref: https://github.com/NVIDIA/Deep-Learning-Accelerator-SW/tree/main/tools/qdq-translator, whose
    check of weights is the same rule
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from erpose_edge.exporters.onnx_graph import Graph
from erpose_edge.exporters.tensorrt.dla.graph import PlainNetwork

_TOP = 127


@dataclass(frozen=True)
class WeightMoves:
    """How far int8 weights move.

    Attributes:
        channels: Of all int8 convolutions.
        exact: Channels in which no weight moves.
        largest_steps: Farthest move, in steps of the network's own grid.
        relative_rms: Root mean square of all moves over that of all weights.
    """

    channels: int
    exact: int
    largest_steps: float
    relative_rms: float

    def to_json(self) -> dict[str, float]:
        """Return this as plain numbers."""
        return {name: float(value) for name, value in asdict(self).items()}


def requantized(weights: np.ndarray) -> np.ndarray:
    """Return weights as TensorRT's implicit int8 makes them, dequantized.

    Args:
        weights: float32, output channels first.
    """
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    top = np.abs(rows).max(axis=1, keepdims=True)
    scale = np.where(top > 0, top, 1.0) / _TOP
    return (np.round(rows / scale) * scale).reshape(weights.shape)


def weight_moves(network: PlainNetwork) -> WeightMoves:
    """Return how far the int8 weights of a network move."""
    from onnx import numpy_helper

    graph = Graph(network.model)
    channels = exact = 0
    largest = squares = total = 0.0
    for node in network.model.graph.node:
        if node.name not in network.weight_scales:
            continue
        weights = numpy_helper.to_array(graph.constants[node.input[1]])
        rows = weights.reshape(len(weights), -1).astype(np.float64)
        scale = np.broadcast_to(network.weight_scales[node.name].reshape(-1, 1), (len(rows), 1))
        moves = np.abs(requantized(weights).reshape(rows.shape) - rows)
        steps = (moves / scale).max(axis=1)
        channels += len(rows)
        # float32 scales differ by their last digit; that is no move.
        exact += int((steps < 1e-4).sum())
        largest = max(largest, float(steps.max()))
        squares += float((moves**2).sum())
        total += float((rows**2).sum())
    return WeightMoves(channels, exact, largest, float(np.sqrt(squares / max(total, 1e-30))))

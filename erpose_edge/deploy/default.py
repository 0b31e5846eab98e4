"""What is used where nothing was named: the bundled weights, and an estimator for any source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import RequestError
from erpose_edge.resources import find_resource
from erpose_edge.runtime.estimator import PoseEstimator

if TYPE_CHECKING:
    from erpose_edge.network.checkpoint import Weights

FLOAT_WEIGHTS = "erpose-n-mobile"
QAT_WEIGHTS = "erpose-n-mobile-qat"


def bundled_weights(precision: str) -> Path:
    """Return the bundled weights file for a precision: quantized ones for int8.

    Raises:
        WeightsError: The installation has none.
    """
    return find_resource("weights", QAT_WEIGHTS if precision == "int8" else FLOAT_WEIGHTS)


def open_estimator(
    source: str | Path,
    precision: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> PoseEstimator:
    """Open an artifact folder on its engine, or a weights file in torch.

    Args:
        source: Artifact folder, weights file, or name of bundled weights.
        precision: fp32 or int8, for weights; by default what the weights are.
        input_size: (height, width) in pixels, for weights; by default that of their config.

    Raises:
        RequestError: There is nothing at ``source``, or an artifact has another precision.
        IntegrityError: What is there is damaged.
        WeightsError: int8 was asked of float weights.
    """
    if Path(source).is_dir():
        estimator = PoseEstimator(source)
        made = estimator.artifact.manifest.precision if estimator.artifact else None
        if precision not in (None, made):
            raise RequestError(
                f"artifact {source}: precision: expected {precision}, got {made}; "
                "leave --precision out, or export another artifact"
            )
        if input_size not in (None, estimator.contract.input_size):
            raise RequestError(
                f"artifact {source}: input size: expected {input_size}, got "
                f"{estimator.contract.input_size}; leave --input-size out, or export another"
            )
        return estimator
    from erpose_edge.network.checkpoint import load_weights

    weights = load_weights(find_resource("weights", str(source)))
    precision = precision or ("fp32" if weights.kind == "float" else "int8")
    return weights_estimator(weights, precision, input_size)


def default_estimator(model: Path | None, precision: str = "fp32") -> PoseEstimator:
    """Open ``model``, or the bundled weights where it is None; see `open_estimator`."""
    return open_estimator(model or bundled_weights(precision), precision)


def weights_estimator(
    weights: Weights, precision: str, input_size: tuple[int, int] | None = None
) -> PoseEstimator:
    """Return the torch reference of ``weights`` at fp32 or int8 (fake-quantized).

    Args:
        weights: Float or quantized.
        precision: fp32 or int8.
        input_size: (height, width) in pixels; by default that of their config.

    Raises:
        RequestError: The precision is another.
        WeightsError: int8 was asked of float weights.
    """
    from erpose_edge.network.torch_runner import torch_estimator
    from erpose_edge.quantization.checkpoint import deployed_network
    from erpose_edge.skeleton import skeleton_named

    if precision not in ("fp32", "int8"):
        raise RequestError(
            f"precision: expected fp32 or int8 for weights in torch, got {precision!r}; "
            "export an artifact for others"
        )
    return torch_estimator(
        deployed_network(weights, quantized=precision == "int8"),
        input_size or weights.input_size,
        skeleton_named(weights.skeleton),
        score_threshold=weights.score_threshold,
        nms=weights.nms,
    )

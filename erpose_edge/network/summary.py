"""What a network costs: parameters and GFLOPs of the deployed graph, a row per stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from erpose_edge.network.plan import deployed_convolutions, plan_network

if TYPE_CHECKING:
    from erpose_edge.config import NetworkConfig


def summarize(
    network: NetworkConfig, keypoints: int, input_size: tuple[int, int]
) -> dict[str, Any]:
    """Return the cost of the deployed network, batch norm folded.

    GFLOPs are two per multiply-accumulate of the convolutions; nothing else weighs a hundredth
    of them. Counted from the plan without torch; a test holds it against the real network.

    Args:
        network: Which one.
        keypoints: K.
        input_size: (height, width) in pixels.

    Returns:
        ``parameters``, ``gflops``, ``input_size`` and ``stages``, each of those with ``name``,
        ``parameters`` and ``gflops``.
    """
    layers = deployed_convolutions(plan_network(network, keypoints), input_size)
    stages: dict[str, dict[str, Any]] = {}
    for layer in layers:
        row = stages.setdefault(layer.stage, {"name": layer.stage, "parameters": 0, "macs": 0})
        row["parameters"] += layer.parameters
        row["macs"] += layer.macs
    rows = [
        {"name": r["name"], "parameters": r["parameters"], "gflops": round(r["macs"] * 2e-9, 4)}
        for r in stages.values()
    ]
    return {
        "parameters": sum(layer.parameters for layer in layers),
        "gflops": round(sum(layer.macs for layer in layers) * 2e-9, 4),
        "input_size": list(input_size),
        "stages": rows,
    }

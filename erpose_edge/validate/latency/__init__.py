"""How long a frame takes on this device: several artifacts in turns, or one in a scenario."""

from erpose_edge.validate.latency.turns import (
    STAGES,
    UNSTABLE_ABOVE,
    Latency,
    Percentiles,
    bench,
    example_frame,
    interleaved,
)

__all__ = [
    "STAGES",
    "UNSTABLE_ABOVE",
    "Latency",
    "Percentiles",
    "bench",
    "example_frame",
    "interleaved",
]

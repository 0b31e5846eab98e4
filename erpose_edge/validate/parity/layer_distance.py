"""How far the layers of two sides are apart, and which of them is wrong by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from erpose_edge.errors import RequestError
from erpose_edge.validate.parity.budget import ABRUPT_DB, CEILING_DB
from erpose_edge.validate.parity.layers import FEATURES, STEM, head_layer
from erpose_edge.validate.parity.measures import Distance, array_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from erpose_edge.validate.parity.capture import Capture, Frame
    from erpose_edge.validate.parity.stages import Stage


@dataclass(frozen=True)
class LayerDistance:
    """How far one layer of B is from that of A.

    Attributes:
        name: The convolution's module, or ``<block>.sum``.
        distance: Of what it gives.
        before_db: Signal over noise of the worst layer that it reads, decibels; the ceiling of
            the pair for the first one.
        drop_db: How far it falls below ``before_db``, both taken no higher than the ceiling.
    """

    name: str
    distance: Distance
    before_db: float
    drop_db: float


def layer_distances(
    a: Capture, b: Capture, frames: Sequence[tuple[Frame, Frame]], pair: str
) -> tuple[tuple[LayerDistance, ...], str]:
    """Return the layers that both sides have, and why there are none or ""."""
    reasons = [f"{name}: {s.side.missing}" for name, s in (("A", a), ("B", b)) if s.side.missing]
    ceiling = CEILING_DB[pair]
    theirs = {layer.name for layer in b.side.layers}
    at: dict[str, float] = {}
    found = []
    for layer in a.side.layers:
        if layer.name not in theirs:
            continue
        pairs = [(x.layers[layer.name], y.layers[layer.name]) for x, y in frames]
        if any(x.shape != y.shape for x, y in pairs):
            raise RequestError(
                f"parity: {layer.name}: expected as many values on both sides, got "
                f"{pairs[0][0].size} and {pairs[0][1].size}; the networks have other layers"
            )
        distance = array_distance(pairs)
        before = min([ceiling, *(at[name] for name in layer.inputs if name in at)])
        at[layer.name] = min(distance.snr_db, ceiling)
        found.append(LayerDistance(layer.name, distance, before, before - at[layer.name]))
    return tuple(found), "; ".join(reasons)


def layer_of(stage: str, strides: Sequence[int]) -> str:
    """Return the layer that gives a stage; "" where it is none of the network's."""
    if stage == "stem":
        return STEM
    kind, _, stride = stage.partition("_")
    if stride.isdigit() and int(stride) in strides:
        return head_layer(kind, list(strides).index(int(stride)))
    return FEATURES.get(stage, "")


def layers_behind(layer: str, inputs: dict[str, tuple[str, ...]]) -> set[str]:
    """Return ``layer`` and all that it depends on."""
    found: set[str] = set()
    waiting = [layer]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += inputs.get(name, ())
    return found


def is_abrupt(layer: LayerDistance, pair: str) -> bool:
    """Say whether a layer is wrong by itself, not by what it reads."""
    least, drop = ABRUPT_DB[pair]
    return layer.distance.snr_db < least and layer.drop_db >= drop


def add_abrupt_layers(
    stages: list[Stage],
    layers: Sequence[LayerDistance],
    inputs: dict[str, tuple[str, ...]],
    pair: str,
    strides: Sequence[int],
) -> None:
    """Add each layer that is wrong by itself to the misses of the first stage that it reaches."""
    for layer in layers:
        if not is_abrupt(layer, pair):
            continue
        for index, stage in enumerate(stages):
            end = layer_of(stage.name, strides)
            if end and layer.name in layers_behind(end, inputs):
                miss = (
                    f"{layer.name}: expected to stay near the {layer.before_db:.1f} dB of what "
                    f"it reads, got {layer.distance.snr_db:.1f} dB"
                )
                stages[index] = replace(stage, misses=(*stage.misses, miss), missing="")
                break

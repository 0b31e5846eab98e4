"""Compare two captures stage by stage, from the bytes of a picture to its poses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import EXIT_ACCURACY, EXIT_PASS, RequestError
from erpose_edge.validate.parity.budget import POSES, SNR_DB, pair_of
from erpose_edge.validate.parity.layer_distance import (
    LayerDistance,
    add_abrupt_layers,
    layer_distances,
)
from erpose_edge.validate.parity.layers import FEATURES, STEM
from erpose_edge.validate.parity.stages import (
    Stage,
    array_stage,
    head_stages,
    input_stage,
    own_decoding,
    picture_stage,
    pose_stages,
)

if TYPE_CHECKING:
    from erpose_edge.validate.parity.capture import Capture, Side


@dataclass(frozen=True)
class Comparison:
    """Two sides, compared.

    Attributes:
        a: Taken for the truth.
        b: The other side.
        pair: Which precisions meet, a key of `erpose_edge.validate.parity.budget`.
        pictures: How many were compared.
        stages: In order.
        layers: Those that both sides have, in order.
        inputs: For every layer of A those that it reads.
    """

    a: Side
    b: Side
    pair: str
    pictures: int
    stages: tuple[Stage, ...]
    layers: tuple[LayerDistance, ...]
    inputs: dict[str, tuple[str, ...]]

    @property
    def first(self) -> Stage | None:
        """The first stage beyond its budget."""
        return next((stage for stage in self.stages if stage.ok is False), None)

    @property
    def exit_code(self) -> int:
        """0 at parity, 3 where a stage is beyond its budget."""
        return EXIT_PASS if self.first is None else EXIT_ACCURACY

    def stage(self, name: str) -> Stage:
        """Return the stage called ``name``."""
        return next(stage for stage in self.stages if stage.name == name)

    def to_json(self) -> dict[str, Any]:
        """Return what ``parity --json`` prints besides the verdict; see ``schemas/parity.json``."""
        return {
            "a": asdict(self.a),
            "b": asdict(self.b),
            "pair": self.pair,
            "pictures": self.pictures,
            "stages": [_stage_json(stage) for stage in self.stages],
            "layers": [
                {
                    "name": layer.name,
                    **asdict(layer.distance),
                    "before_db": layer.before_db,
                    "drop_db": layer.drop_db,
                }
                for layer in self.layers
            ],
        }


def compare(a: Capture, b: Capture) -> Comparison:
    """Compare what two sides computed for the same pictures.

    Raises:
        RequestError: The sides are of other input sizes, strides, skeletons or pictures.
    """
    check_comparable(a.side, b.side)
    if len(a.frames) != len(b.frames):
        raise RequestError(
            f"parity: pictures: expected as many on both sides, got {len(a.frames)} and "
            f"{len(b.frames)}; run both on the same pictures"
        )
    pair = pair_of(a.side, b.side)
    frames = list(zip(a.frames, b.frames))
    layers, missing = layer_distances(a, b, frames, pair)
    by_name = {layer.name: layer for layer in layers}
    floors = SNR_DB[pair]
    stages = [picture_stage(frames), input_stage(frames)]
    for name, layer in {"stem": STEM, **FEATURES}.items():
        floor = floors["stem" if layer == STEM else "features"]
        found = by_name.get(layer)
        if found is None:
            stages.append(Stage(name, missing=missing or f"no layer {layer} on both sides"))
        else:
            stages.append(array_stage(name, found.distance, floor))
    stages += head_stages(a, b, frames, floors)
    inputs = {layer.name: layer.inputs for layer in a.side.layers}
    add_abrupt_layers(stages, layers, inputs, pair, a.side.strides)
    stages += [own_decoding("A", a), own_decoding("B", b)]
    stages += pose_stages(a.side, frames, POSES[pair])
    return Comparison(a.side, b.side, pair, len(frames), tuple(stages), layers, inputs)


def check_comparable(a: Side, b: Side) -> None:
    """Refuse sides whose stages do not correspond.

    Raises:
        RequestError: Input size, strides or skeleton differ.
    """
    for what, ours, theirs in (
        ("input size", _size(a.input_size), _size(b.input_size)),
        ("strides", a.strides, b.strides),
        ("skeleton", a.skeleton, b.skeleton),
    ):
        if ours != theirs:
            raise RequestError(
                f"parity: {what}: expected the same on both sides, got {ours} and {theirs}; "
                "export one of them again"
            )


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def _stage_json(stage: Stage) -> dict[str, Any]:
    measured = stage.distance or stage.poses
    return {
        "name": stage.name,
        "ok": stage.ok,
        "measured": None if measured is None else asdict(measured),
        "budget": stage.budget,
        "misses": list(stage.misses),
        "missing": stage.missing or None,
    }

"""What an engine made of an artifact here: every layer that runs, its precision and its unit.

A speed that was paid for with int8 is not there if the engine quietly computes in float, so this
is a part of every certificate, and a budget may ask for a share of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from erpose_edge.runtime.artifact import Artifact

    # Engines' modules import their packages: each is imported when it is asked.
    Reader = Callable[[Any, Artifact], "list[PlacedLayer]"]

CONVOLUTION = "convolution"
INT8, UNKNOWN = "int8", "unknown"
PRECISIONS = (
    "fp32",
    "fp16",
    "bf16",
    "fp64",
    INT8,
    "int16",
    "int32",
    "int64",
    "bool",
    UNKNOWN,
)  # fmt: skip
_ENGINES = ("openvino", "tflite", "onnxruntime", "tensorrt")  # also names of modules here
# As numpy and ONNX Runtime name types; what has the name of the precision itself is left out.
_TYPES = {
    "float": "fp32",
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "double": "fp64",
    "float64": "fp64",
    "uint8": INT8,
}


@dataclass(frozen=True)
class PlacedLayer:
    """One layer as it runs.

    Attributes:
        layer: Its name: that of the exported graph where the engine keeps it.
        kind: `CONVOLUTION`, or the engine's own word.
        precision: Type that it takes its data in, one of `PRECISIONS`; ``unknown`` where the engine
            does not tell.
        unit: What computes it: ``cpu``, ``xnnpack``, ``builtin`` (of TFLite), ``gpu``, ``dla``.
        asked: ``int8`` for a convolution whose weights the artifact has in int8, else None.
    """

    layer: str
    kind: str
    precision: str
    unit: str
    asked: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def placement_of(runner: object, artifact: Artifact) -> list[PlacedLayer]:
    """Return every layer of an opened artifact in the order in which the engine names them.

    Args:
        runner: That `open_runner` returned for the artifact, or one of the same class.
        artifact: What it was opened from.

    Raises:
        TargetError: Nobody knows how to ask this engine.
    """
    import importlib

    engine = artifact.manifest.engine
    if engine not in _ENGINES:
        raise TargetError(
            f"placement: expected an engine of {', '.join(_ENGINES)}, got {engine!r}; "
            "install a version of erpose-edge that knows it"
        )
    module = importlib.import_module(f"{__name__}.{engine}")
    read: Reader = module.read_placement
    return read(runner, artifact)


def precision_of(dtype: str) -> str:
    """Return the precision of a type by its name; ``unknown`` for one that is no precision."""
    precision = _TYPES.get(dtype, dtype)
    return precision if precision in PRECISIONS else UNKNOWN


def int8_share(layers: Sequence[Mapping[str, Any]]) -> float | None:
    """Return which part of the convolutions that were to run in int8 does.

    Args:
        layers: Of one artifact, as `PlacedLayer.to_json` gives them.

    Returns:
        0 to 1; None where none was to, or where the engine tells of none how it runs.
    """
    asked = [layer["precision"] for layer in layers if layer["asked"] == INT8]
    if not asked or all(precision == UNKNOWN for precision in asked):
        return None
    return asked.count(INT8) / len(asked)


def counted(layers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of layers by ``precision on unit``, most first."""
    counts: dict[str, int] = {}
    for layer in layers:
        words = f"{layer['precision']} on {layer['unit']}"
        counts[words] = counts.get(words, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def with_missing(
    layers: list[PlacedLayer],
    asked: Sequence[str],
    unit: str,
) -> list[PlacedLayer]:
    """Return ``layers``, and those of ``asked`` that the engine does not name, as unknown."""
    named = {layer.layer for layer in layers}
    lost = [PlacedLayer(n, CONVOLUTION, UNKNOWN, unit, INT8) for n in asked if n not in named]
    return [*layers, *lost]

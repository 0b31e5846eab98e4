"""What an output of a graph carries, and how large its steps may be: declared as data.

Our own outputs are known by their names (see `erpose_edge.runtime.decode`). In other graphs
sigmoids and magnitudes tell scores from coordinates, or the caller says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from erpose_edge.errors import RequestError
from erpose_edge.exporters.lint.ranges import PIXELS, SCORE, UNKNOWN
from erpose_edge.runtime.decode import OFFSET_UNIT

if TYPE_CHECKING:
    from erpose_edge.quantization.recipe import Policy

TOLERANCE_PX = 0.5
TOLERANCE_SCORE = 1 / 255  # the step of a probability in 8 bits
_LOGIT = 0.25  # a step of a logit moves its probability at most so far
_DECLARED = re.compile(r"(?P<unit>px|score|logit)(\*(?P<per>[0-9.]+))?(:(?P<most>[0-9.]+))?")
_OURS = {"scores": SCORE, "keypoints": PIXELS, "visibility": SCORE, "boxes": PIXELS}


@dataclass(frozen=True)
class Precision:
    """What one output carries.

    Attributes:
        unit: ``px``, ``score`` or, if nobody knows, empty.
        per_unit: Input pixels, or probability, that a change of 1 in the output means.
        tolerance: Largest step, in ``unit``; None takes that of the options.
    """

    unit: str = UNKNOWN
    per_unit: float = 1.0
    tolerance: float | None = None


@dataclass(frozen=True)
class LintOptions:
    """How to judge a graph.

    Attributes:
        engine: ``tensorrt``, ``openvino``, ``onnxruntime`` or ``tflite``; None judges by what
            holds for any.
        policy: What was meant to be float; None does not say.
        tolerance_px: Largest step of a coordinate, in input pixels.
        tolerance_score: Largest step of a probability.
        outputs: What outputs carry, by name; the others are inferred.
    """

    engine: str | None = None
    policy: Policy | None = None
    tolerance_px: float = TOLERANCE_PX
    tolerance_score: float = TOLERANCE_SCORE
    outputs: Mapping[str, Precision] = field(default_factory=dict)

    def tolerance(self, precision: Precision, unit: str) -> float:
        """Return the largest step that is allowed in ``unit``, infinite if there is no rule."""
        if precision.tolerance is not None and unit == precision.unit:
            return precision.tolerance
        return {PIXELS: self.tolerance_px, SCORE: self.tolerance_score}.get(unit, float("inf"))


def declared(names: Iterable[str], options: LintOptions) -> dict[str, Precision]:
    """Return what each output carries: as the options say, or as the names of ours do."""
    found = {name: options.outputs.get(name, Precision()) for name in names}
    ours = {name: _of_ours(name) for name in found}
    if any(precision is None for precision in ours.values()):
        return found  # a graph with other outputs may mean other things by the same words
    known = {name: precision for name, precision in ours.items() if precision is not None}
    return {name: options.outputs.get(name, known[name]) for name in found}


def _of_ours(name: str) -> Precision | None:
    kind, separator, stride = name.partition("_")
    if kind not in _OURS or (separator and not stride.isdecimal()):
        return None
    if not separator:
        return Precision(_OURS[kind])
    if kind == "keypoints":
        return Precision(PIXELS, OFFSET_UNIT * int(stride))
    # Logits of a box's sides become a distance as a whole: no step of one has a meaning in pixels.
    return Precision() if kind == "boxes" else Precision(SCORE, _LOGIT)


def parse_output(text: str) -> tuple[str, Precision]:
    """Return name and precision from ``NAME=UNIT[*FACTOR][:TOLERANCE]``, as ``--output`` has it.

    Raises:
        RequestError: It reads otherwise.
    """
    name, _, rest = text.partition("=")
    match = _DECLARED.fullmatch(rest)
    try:
        if not name or match is None:
            raise ValueError
        factor = float(match["per"] or 1)
        tolerance = None if match["most"] is None else float(match["most"])
    except ValueError as error:
        raise RequestError(
            f"--output: expected NAME=UNIT[*FACTOR][:TOLERANCE] with px, score or logit, got "
            f"{text!r}; write for example output0=px:0.5"
        ) from error
    if match["unit"] == "logit":
        return name, Precision(SCORE, factor * _LOGIT, tolerance)
    return name, Precision(match["unit"], factor, tolerance)

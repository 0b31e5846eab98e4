"""What an engine made of an int8 graph against what the policy says."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from erpose_edge.errors import ExportError

_INT8_TYPES = ("i8", "u8")


def require_int8(engine: str, precisions: Mapping[str, str], convolutions: Collection[str]) -> None:
    """Check that every one of ``convolutions`` runs in int8.

    Args:
        engine: What errors call it.
        precisions: Type that each convolution takes its data in, by name, as the engine's
            ``convolution_precisions`` returns them.
        convolutions: Names of those that the policy makes int8.

    Raises:
        ExportError: One does not; the message names it.
    """
    for name in convolutions:
        got = precisions.get(name, "no such layer")
        if got not in _INT8_TYPES:
            others = sum(precisions.get(n) not in _INT8_TYPES for n in convolutions) - 1
            more = f" (and {others} more)" if others else ""
            raise ExportError(
                f"{engine}: {name}: expected int8 execution on this CPU as the policy says, got "
                f"{got}{more}; name it in the policy's keep_float or export fp32"
            )

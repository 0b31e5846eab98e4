"""Arrays of moments as JSON holds them: the bytes, so that not a nanosecond is lost."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import IntegrityError
from erpose_edge.runtime.json_arrays import array_to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AGAIN = "measure again"
_DTYPE = "<i8"
_MOST = 1 << 27  # values; ten minutes at 1000 frames a second are 2.4 million


def packed(values: NDArray[np.int64]) -> dict[str, Any]:
    """Return an array of int64 as shape, type and base64 of its little-endian bytes."""
    return array_to_json(values, _DTYPE)


def unpacked(document: object, where: str, columns: int | None = None) -> NDArray[np.int64]:
    """Return the array that `packed` packed.

    Args:
        document: What a JSON parser returned.
        where: What errors call it.
        columns: How many it must have; None for an array with one axis.

    Raises:
        IntegrityError: It is none, or of another shape.
    """
    if not isinstance(document, dict) or document.get("dtype") != _DTYPE:
        raise IntegrityError(f"{where}: expected samples of type {_DTYPE}, got others; {_AGAIN}")
    shape, text = _shape(document.get("shape")), document.get("base64")
    if not shape or shape[1:] != (() if columns is None else (columns,)):
        wanted = "(N,)" if columns is None else f"(N, {columns})"
        raise IntegrityError(
            f"{where}: expected the shape {wanted}, got {document.get('shape')}; {_AGAIN}"
        )
    try:
        content = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    size = 8 * shape[0] * (columns or 1)
    if len(content) != size:
        raise IntegrityError(
            f"{where}: expected base64 of {size} bytes, got {len(content)}; {_AGAIN}"
        )
    values = np.frombuffer(content, _DTYPE).reshape(shape)
    return np.asarray(values, np.int64)


def _shape(document: object) -> tuple[int, ...]:
    """Return the sizes in a list; nothing if they are none."""
    sizes = document if isinstance(document, list) else []
    whole = all(type(size) is int and 0 < size <= _MOST for size in sizes)
    return tuple(sizes) if whole else ()

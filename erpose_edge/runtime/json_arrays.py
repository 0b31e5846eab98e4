"""Arrays as JSON holds them: shape, type, and the bytes in base64, to the last bit."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def array_to_json(values: NDArray[Any], dtype: str) -> dict[str, Any]:
    """Return an array, stored as ``dtype``, numpy's word with the byte order: ``<i8``."""
    plain = np.ascontiguousarray(values, dtype)
    text = base64.b64encode(plain.tobytes()).decode("ascii")
    return {"shape": list(values.shape), "dtype": dtype, "base64": text}


def array_from_json(document: Mapping[str, Any], dtype: str) -> NDArray[Any]:
    """Return the array that `array_to_json` wrote, which cannot be written to.

    Raises:
        KeyError: A part is missing.
        TypeError: A part is of another kind.
        ValueError: It is of another type, or its bytes do not fit its shape.
    """
    if document["dtype"] != dtype:
        raise ValueError(f"dtype {document['dtype']}")
    content = base64.b64decode(document["base64"], validate=True)
    values: NDArray[Any] = np.frombuffer(content, dtype)
    return values.reshape([int(side) for side in document["shape"]])

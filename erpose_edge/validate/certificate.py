"""The certificate of a measurement: what was measured, on what, with which verdict, and a seal.

The seal is a sha256 over the text: it tells an altered certificate from the one that was written,
not who wrote it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from erpose_edge.errors import IntegrityError

FORMAT = 1
_SEAL = "sha256"


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """Return a certificate of ``document`` with its format and seal.

    Args:
        document: Plain values without NaN.
    """
    body = {"certificate": FORMAT, **document}
    return {**body, _SEAL: _digest(body)}


def require_sealed(document: object, where: str) -> dict[str, Any]:
    """Return a certificate that is as it was written.

    Args:
        document: What a JSON parser returned.
        where: What errors call it.

    Raises:
        IntegrityError: It is no certificate of this format, or was altered.
    """
    if not isinstance(document, dict) or document.get("certificate") != FORMAT:
        found = document.get("certificate") if isinstance(document, dict) else type(document)
        raise IntegrityError(
            f"{where}: expected a certificate of format {FORMAT}, got {found}; measure again"
        )
    body = {name: value for name, value in document.items() if name != _SEAL}
    if document.get(_SEAL) != _digest(body):
        raise IntegrityError(
            f"{where}: expected the text that was sealed, got another; measure again"
        )
    return document


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, allow_nan=False, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

"""The seal: a sha256 over the text, and one over every array of raw samples.

It tells an altered certificate from the one that was written, not who wrote it: who alters a
certificate can seal it again. Statistics that no longer follow from the samples are found all the
same, see `verify`; samples that were made up as a whole are for a signature to refuse.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 2
SEAL, RAW = "sha256", "raw_sha256"
_ARRAY = {"shape", "dtype", "base64"}


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """Return a certificate of ``document`` with its format, the hashes of its arrays and its seal.

    Args:
        document: Plain values without NaN.
    """
    plain = json.loads(json.dumps(document, allow_nan=False))  # as whoever reads it will have it
    body = {"certificate": FORMAT, **plain, RAW: raw_hashes(plain)}
    return {**body, SEAL: digest(body)}


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
    body = {name: value for name, value in document.items() if name != SEAL}
    if document.get(SEAL) != digest(body):
        raise IntegrityError(
            f"{where}: {SEAL}: expected the text that was sealed, got another; measure again"
        )
    return document


def canonical_bytes(document: dict[str, Any]) -> bytes:
    """Return the one text of a document, however its file is laid out: what is signed."""
    text = json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=True)
    return text.encode()


def digest(body: dict[str, Any]) -> str:
    """Return the seal of a document that does not hold one."""
    return hashlib.sha256(canonical_bytes(body)).hexdigest()


def raw_hashes(document: dict[str, Any]) -> dict[str, str]:
    """Return the sha256 of every array of raw samples, by its path in the document."""
    return {path: hashlib.sha256(text).hexdigest() for path, text in _arrays(document, "")}


def _arrays(value: object, path: str) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, dict):
        if set(value) == _ARRAY:
            yield path, canonical_bytes(value)
            return
        for name, inner in value.items():
            yield from _arrays(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _arrays(inner, f"{path}[{index}]")

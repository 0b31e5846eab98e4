"""The signature of a certificate: a file beside it, over the one text of its document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from erpose_edge.errors import IntegrityError
from erpose_edge.runtime.bundle_signature import Signature, fingerprint, is_signed_by
from erpose_edge.validate.certificate.seal import canonical_bytes


def signature_path(path: Path) -> Path:
    """Return where the signature of a certificate stands."""
    return path.with_name(f"{path.name}.sig")


def require_signature(document: dict[str, Any], path: Path, key: bytes) -> None:
    """Check that a key signed a certificate.

    Args:
        document: That stands in ``path``.
        path: Of the certificate; the signature stands beside it.
        key: Public key, 32 bytes.

    Raises:
        RequestError: The package that checks is not installed.
        IntegrityError: There is no signature, or it is not that of the key over this text.
    """
    file, signed = signature_path(path), canonical_bytes(document)
    if not file.is_file():
        raise IntegrityError(
            f"{path}: signature: expected {file.name}, got no such file; "
            "sign it with `erpose-edge certificate sign`"
        )
    found = Signature.from_bytes(file.read_bytes(), signed, str(file), "this certificate")
    if found.public_key != key:
        raise IntegrityError(
            f"{path}: signature: expected one by {fingerprint(key)}, got one by {found.key_name}; "
            "do not trust what somebody else measured"
        )
    if not is_signed_by(found, key, signed, str(path)):
        raise IntegrityError(
            f"{path}: signature: expected one by the key that was given, got one that does not "
            "fit; fetch it again"
        )

"""Ed25519 signature of a bundle's list, and its check against a public key.

The signature file is one line of text: ``ed25519``, the signer's public key, the signature, and a
sha256 over these and the list. The hash needs no key and finds a damaged file; it proves nothing
about who wrote it. The key in the line names the signer in messages and is never trusted: what
counts is the key that the reader brings.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from erpose_edge.errors import IntegrityError, RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from erpose_edge.runtime.bundle import Bundle

SIGNATURE_NAME = "bundle.json.sig"
KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_ALGORITHM = "ed25519"
# SubjectPublicKeyInfo of Ed25519 is this and the key. Ref: RFC 8410, section 4.
_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")
_PEM = re.compile(
    r"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----\s*", re.ASCII
)
_SSH = re.compile(r"ssh-ed25519 ([A-Za-z0-9+/=]+)( [^\n]*)?\s*", re.ASCII)
_SSH_NAME = b"ssh-ed25519"
_MAX_BYTES = 4096


@dataclass(frozen=True)
class Signature:
    """One signature, read but not checked.

    Attributes:
        public_key: That the signer names, 32 bytes.
        value: 64 bytes over the text of ``bundle.json``.
    """

    public_key: bytes
    value: bytes

    @property
    def key_name(self) -> str:
        """Fingerprint of the key that the signer names, as ssh-keygen -l prints it."""
        return fingerprint(self.public_key)

    def to_bytes(self, signed: bytes) -> bytes:
        """Return the one way to write this signature of ``signed``."""
        parts = (_ALGORITHM, _base64(self.public_key), _base64(self.value))
        text = " ".join(parts)
        return f"{text} {hashlib.sha256(text.encode() + signed).hexdigest()}\n".encode()

    @classmethod
    def from_bytes(
        cls, content: bytes, signed: bytes, where: str, what: str = "this bundle's list"
    ) -> Signature:
        """Read what `to_bytes` wrote.

        Args:
            content: Of the signature's file.
            signed: The text that it has to belong to.
            where: What errors call it.
            what: What errors call the text.

        Raises:
            IntegrityError: It is damaged, or belongs to another list than ``signed``.
        """
        parts = content[:_MAX_BYTES].split(b" ")
        if len(parts) == 4:
            found = cls(_from_base64(parts[1]), _from_base64(parts[2]))
            sizes = (len(found.public_key), len(found.value))
            if sizes == (KEY_BYTES, _SIGNATURE_BYTES) and found.to_bytes(signed) == content:
                return found
        raise IntegrityError(
            f"{where}: expected the signature of {what}, got another or a damaged one; "
            "fetch or sign it again"
        )


def check_signature(bundle: Bundle, key: bytes | None, *, strict: bool = False) -> bool:
    """Check who signed a bundle, and say whether it was checked.

    Args:
        bundle: As `read_bundle` returned it.
        key: The public key, 32 bytes; None if the reader has none.
        strict: Refuse a bundle whose signature is missing or cannot be checked.

    Returns:
        True if ``key`` signed the bundle; False where nothing was asked for.

    Raises:
        RequestError: ``strict`` without a key, or the package that checks is not installed.
        IntegrityError: The bundle is unsigned, or was not signed with ``key``.
    """
    if key is None:
        if strict:
            raise RequestError(
                f"{bundle.folder}: strict: expected the public key of who signs your bundles, got "
                "none; pass it with --key"
            )
        return False
    if bundle.signature is None:
        raise _refused(bundle, "got none; sign it with `erpose-edge bundle create --sign`")
    if bundle.signature.public_key != key:
        raise _refused(
            bundle, f"got one by {bundle.signature.key_name}; do not run what you do not trust"
        )
    signed = bundle.document.to_bytes()
    if not is_signed_by(bundle.signature, key, signed, str(bundle.folder)):
        raise _refused(bundle, "got one that does not fit; fetch the bundle again")
    return True


def is_signed_by(signature: Signature, key: bytes, signed: bytes, where: str) -> bool:
    """Say whether a signature is the one of a public key over a text.

    Args:
        signature: As it was read.
        key: Public key, 32 bytes.
        signed: The text.
        where: What errors call it.

    Raises:
        RequestError: The package that checks is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise RequestError(
            f"{where}: signature: expected the package cryptography, got none; run "
            "`sudo apt install python3-cryptography` on a board, "
            "`pip install 'erpose-edge[push]'` elsewhere"
        ) from None
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature.value, signed)
    except InvalidSignature:
        return False
    return True


def read_public_key(path: Path) -> bytes:
    """Return the 32 bytes of an Ed25519 public key.

    Args:
        path: Of what ``ssh-keygen -t ed25519`` writes as ``.pub``, or of the PEM of
            ``openssl pkey -pubout``.

    Raises:
        RequestError: There is no such file, or it holds no such key.
    """
    if not path.is_file():
        raise RequestError(f"{path}: expected a public key, got no such file; check --key")
    content = path.read_bytes()[: _MAX_BYTES + 1]
    text = content.decode("latin-1")
    pem, ssh = _PEM.fullmatch(text), _SSH.fullmatch(text)
    key = b""
    if pem:
        der = _from_base64("".join(pem[1].split()).encode())
        key = der[len(_DER_PREFIX) :] if der.startswith(_DER_PREFIX) else b""
    elif ssh:
        key = _from_ssh(_from_base64(ssh[1].encode()))
    if len(key) != KEY_BYTES:
        raise RequestError(
            f"{path}: expected an Ed25519 public key (ssh-keygen's .pub, or PEM), got "
            f"{_likeness(text)}; make one with `ssh-keygen -t ed25519 -f bundle-key`"
        )
    return key


def fingerprint(key: bytes) -> str:
    """Return what ``ssh-keygen -l`` prints of a public key of 32 bytes."""
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (_SSH_NAME, key))
    return "SHA256:" + _base64(hashlib.sha256(blob).digest()).rstrip("=")


def _from_ssh(blob: bytes) -> bytes:
    prefix = struct.pack(">I", len(_SSH_NAME)) + _SSH_NAME + struct.pack(">I", KEY_BYTES)
    return blob[len(prefix) :] if blob.startswith(prefix) else b""


def _likeness(text: str) -> str:
    if "PRIVATE KEY" in text:
        return "a private key"
    return "another kind of key" if text.startswith(("ssh-", "-----BEGIN")) else "something else"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _refused(bundle: Bundle, got: str) -> IntegrityError:
    return IntegrityError(
        f"{bundle.folder}: signature: expected one by the key that was given, {got}"
    )

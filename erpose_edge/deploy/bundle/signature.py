"""Sign a bundle with an Ed25519 key: one that ssh-keygen or openssl made."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import MissingExtraError, RequestError
from erpose_edge.runtime.bundle import Bundle
from erpose_edge.runtime.bundle_signature import SIGNATURE_NAME, Signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_OTHERS = 0o077
_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"


def sign_bundle(bundle: Bundle, key: Ed25519PrivateKey) -> Bundle:
    """Write the signature of a bundle beside its list, and return the bundle with it."""
    signed = bundle.document.to_bytes()
    signature = sign_text(signed, key)
    with tempfile.TemporaryDirectory(prefix=".sign-", dir=bundle.folder.parent) as scratch:
        part = Path(scratch) / "part"
        part.write_bytes(signature.to_bytes(signed))
        part.chmod(0o644)
        part.replace(bundle.folder / SIGNATURE_NAME)
    return replace(bundle, signature=signature)


def sign_text(signed: bytes, key: Ed25519PrivateKey) -> Signature:
    """Return the signature of a text."""
    return Signature(key.public_key().public_bytes_raw(), key.sign(signed))


def load_private_key(path: Path, ask: Callable[[], str] | None = None) -> Ed25519PrivateKey:
    """Return the private key to sign with.

    Args:
        path: OpenSSH's format, or PEM (PKCS #8).
        ask: Asks for the passphrase of a key that has one; None refuses such keys.

    Raises:
        RequestError: There is no such file, others may read it, it holds no Ed25519 key, or the
            passphrase is missing or wrong.
        MissingExtraError: The package cryptography is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"{path}: expected the package cryptography, got none; "
            "run `pip install 'erpose-edge[push]'`"
        ) from None
    if not path.is_file():
        raise RequestError(f"{path}: expected a private key, got no such file; check --sign")
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if os.name == "posix" and mode & _OTHERS:
            raise RequestError(
                f"{path}: expected a key that only its owner may read, got mode {mode:o}; "
                f"run `chmod 600 {path.name}`"
            )
        content = file.read()
    key = _parsed(path, content, None, ask)
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "another kind of key")
    return key


def _parsed(
    path: Path, content: bytes, passphrase: bytes | None, ask: Callable[[], str] | None
) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    ssh = content.lstrip().startswith(_OPENSSH)
    load = serialization.load_ssh_private_key if ssh else serialization.load_pem_private_key
    try:
        return load(content, passphrase)
    except TypeError:  # what the package raises where a passphrase is missing
        if ask is None:
            raise _no_key(path, "one with a passphrase, and nobody to ask for it") from None
        return _parsed(path, content, ask().encode(), ask)
    except UnsupportedAlgorithm:
        raise _no_key(path, "one in a format that cryptography lacks a package for") from None
    except ValueError:
        got = "something else" if passphrase is None else "a wrong passphrase"
        raise _no_key(path, got) from None


def _no_key(path: Path, got: str) -> RequestError:
    return RequestError(
        f"{path}: expected an Ed25519 private key (OpenSSH or PEM), got {got}; "
        "make one with `ssh-keygen -t ed25519 -f bundle-key`"
    )

"""Who signed a bundle: only the reader's own key counts, in every way it is written."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_bundle import write_small_bundle

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.bundle import read_bundle
from erpose_edge.runtime.bundle_signature import (
    SIGNATURE_NAME,
    Signature,
    check_signature,
    fingerprint,
    read_public_key,
)

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from erpose_edge.deploy.bundle.signature import sign_bundle

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
SPKI, SSH = ser.PublicFormat.SubjectPublicKeyInfo, ser.PublicFormat.OpenSSH


@pytest.fixture
def signed(tmp_path):
    return sign_bundle(write_small_bundle(tmp_path / "b"), KEY)


def test_a_signed_bundle_is_read_back_and_its_signer_named(signed):
    found = read_bundle(signed.folder)
    assert found.signature == signed.signature
    assert found.signature.key_name == fingerprint(PUBLIC)
    assert check_signature(found, PUBLIC, strict=True) is True
    assert check_signature(found, None) is False
    assert (signed.folder / SIGNATURE_NAME).read_bytes().count(b"\n") == 1


def test_signing_does_not_change_the_release_and_is_deterministic(signed, tmp_path):
    again = sign_bundle(write_small_bundle(tmp_path / "again"), KEY)
    assert again.name == signed.name == write_small_bundle(tmp_path / "unsigned").name
    assert again.signature == signed.signature


def test_an_unsigned_bundle_is_refused_where_a_key_is_given(tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    for strict in (False, True):
        with pytest.raises(
            IntegrityError, match="expected one by the key that was given, got none"
        ):
            check_signature(bundle, PUBLIC, strict=strict)
    with pytest.raises(RequestError, match="strict: expected the public key of who signs"):
        check_signature(bundle, None, strict=True)


def test_a_signature_by_somebody_else_is_refused(signed):
    bundle = sign_bundle(signed, OTHER)
    with pytest.raises(IntegrityError, match="got one by SHA256:"):
        check_signature(bundle, PUBLIC)


def test_a_signature_that_only_names_the_right_key_is_refused(signed):
    forged = Signature(PUBLIC, OTHER.sign(signed.document.to_bytes()))
    with pytest.raises(IntegrityError, match="got one that does not fit"):
        check_signature(dataclasses.replace(signed, signature=forged), PUBLIC)


def test_an_altered_bundle_is_refused_also_with_a_new_list_and_the_old_signature(signed, tmp_path):
    other = write_small_bundle(tmp_path / "other", {"build": b"evil"})
    shutil.copy(signed.folder / SIGNATURE_NAME, other.folder)
    with pytest.raises(IntegrityError, match=r"sig: expected the signature of this bundle's list"):
        read_bundle(other.folder)
    content = signed.signature.to_bytes(other.document.to_bytes())  # its hash mended
    (other.folder / SIGNATURE_NAME).write_bytes(content)
    with pytest.raises(IntegrityError, match="got one that does not fit"):
        check_signature(read_bundle(other.folder), PUBLIC)


def test_a_signature_is_a_plain_file(signed, tmp_path):
    path = signed.folder / SIGNATURE_NAME
    path.rename(tmp_path / "sig")
    path.symlink_to(tmp_path / "sig")
    with pytest.raises(
        IntegrityError, match="expected the signature of a bundle, got no plain file"
    ):
        read_bundle(signed.folder)


def test_without_the_package_a_key_is_a_refusal_that_says_what_to_install(signed, monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(RequestError, match=r"run `sudo apt install python3-cryptography` on a boa"):
        check_signature(signed, PUBLIC, strict=True)
    assert check_signature(signed, None) is False


@pytest.mark.parametrize(("encoding", "form"), [("PEM", SPKI), ("OpenSSH", SSH)])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_public_key_is_read_in_both_forms(encoding, form, end, tmp_path):
    content = KEY.public_key().public_bytes(getattr(ser.Encoding, encoding), form)
    (tmp_path / "key").write_bytes(content + end)
    assert read_public_key(tmp_path / "key") == PUBLIC


def test_a_comment_behind_the_key_is_passed_over_and_the_fingerprint_is_that_of_ssh(tmp_path):
    content = KEY.public_key().public_bytes(ser.Encoding.OpenSSH, SSH)
    path = tmp_path / "key.pub"
    path.write_bytes(content + b" me@here, for bundles\n")
    assert read_public_key(path) == PUBLIC
    if shutil.which("ssh-keygen"):
        command = ["ssh-keygen", "-l", "-f", str(path)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert fingerprint(PUBLIC) in shown.split()


def wrong_keys() -> dict[str, tuple[bytes, str]]:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {
        "nothing": (b"", "something else"),
        "a text": (b"hello\n", "something else"),
        "the private key": (
            KEY.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()),
            "a private key",
        ),
        "another kind": (curve.public_bytes(ser.Encoding.PEM, SPKI), "another kind of key"),
        "another kind of ssh": (curve.public_bytes(ser.Encoding.OpenSSH, SSH), "something else"),
        "a short key": (b"ssh-ed25519 AAAA\n", "another kind of key"),
        "no base64": (b"ssh-ed25519 ====\n", "another kind of key"),
        "two keys": (KEY.public_key().public_bytes(ser.Encoding.PEM, SPKI) * 2, "another kind"),
    }


@pytest.mark.parametrize("name", wrong_keys())
def test_what_is_no_ed25519_public_key_is_refused(name, tmp_path):
    content, likeness = wrong_keys()[name]
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(RequestError) as caught:
        read_public_key(tmp_path / "key")
    assert f"expected an Ed25519 public key (ssh-keygen's .pub, or PEM), got {likeness}" in str(
        caught.value
    )


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"none: expected a public key, got no such file"):
        read_public_key(Path(tmp_path / "none"))

"""Private keys: those of ssh-keygen and openssl, that nobody but their owner can read."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from erpose_edge.errors import MissingExtraError, RequestError

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from erpose_edge.deploy.bundle.signature import load_private_key
from erpose_edge.runtime.bundle_signature import read_public_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
FORMATS = {"OpenSSH": ser.PrivateFormat.OpenSSH, "PKCS 8": ser.PrivateFormat.PKCS8}


def private(key, form: str = "PKCS 8", passphrase: bytes | None = None) -> bytes:
    protection = ser.BestAvailableEncryption(passphrase) if passphrase else ser.NoEncryption()
    return key.private_bytes(ser.Encoding.PEM, FORMATS[form], protection)


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, mode: int = 0o600):
        path = tmp_path / "key"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_is_read(write, form, mode):
    key = load_private_key(write(private(KEY, form), mode))
    assert key.public_key().public_bytes_raw() == PUBLIC


@pytest.mark.parametrize("tool", ["ssh-keygen", "openssl"])
def test_keys_of_the_usual_tools_are_read(tool, tmp_path):
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}")
    key, public = tmp_path / "key", tmp_path / "key.pub"
    commands = {
        "ssh-keygen": [["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]],
        "openssl": [
            ["openssl", "genpkey", "-algorithm", "ed25519", "-out", key],
            ["openssl", "pkey", "-in", key, "-pubout", "-out", public],
        ],
    }
    for command in commands[tool]:
        subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    found = load_private_key(key).public_key().public_bytes_raw()
    assert found == read_public_key(public)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o610, 0o601])
def test_a_key_that_others_can_touch_is_refused(write, mode):
    with pytest.raises(RequestError) as caught:
        load_private_key(write(private(KEY), mode))
    assert (
        f"expected a key that only its owner may read, got mode {mode:o}; run `chmod 600 key`"
    ) in str(caught.value)


def test_a_passphrase_is_asked_for_once(write):
    path = write(private(KEY, passphrase=b"secret"))
    asked = []

    def answer(text):
        return lambda: asked.append(1) or text

    assert load_private_key(path, answer("secret")).public_key().public_bytes_raw() == PUBLIC
    assert asked == [1]
    with pytest.raises(RequestError, match="got a wrong passphrase"):
        load_private_key(path, answer("guess"))
    with pytest.raises(RequestError, match="got one with a passphrase, and nobody to ask for it"):
        load_private_key(path)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "something else"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "something else"),
        (private(ec.generate_private_key(ec.SECP256R1())), "another kind of key"),
    ],
    ids=["nothing", "damaged", "another kind"],
)
def test_what_is_no_ed25519_private_key_is_refused(write, content, got):
    with pytest.raises(RequestError) as caught:
        load_private_key(write(content))
    assert f"expected an Ed25519 private key (OpenSSH or PEM), got {got}; make one with" in str(
        caught.value
    )


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(RequestError, match="none: expected a private key, got no such file"):
        load_private_key(tmp_path / "none")
    for name in [n for n in sys.modules if n.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'erpose-edge\[push\]'"):
        load_private_key(tmp_path / "none")

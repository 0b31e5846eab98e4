"""``erpose-edge bundle``: from artifacts to a verified folder, and every refusal with its code."""

from __future__ import annotations

import json

import pytest
from tiny_pose import write_tiny_artifact

from erpose_edge.cli.app import main
from erpose_edge.schemas import load_schema

pytest.importorskip("zstandard")
pytest.importorskip("cryptography")
pytest.importorskip("jsonschema")
import jsonschema
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CREATE = "bundle create fp32 --target onnxruntime-cpu --out"


def write_keys_and_artifact(folder):
    """Write an artifact and the keys of two people."""
    write_tiny_artifact(folder / "fp32", "compact", "onnxruntime")
    for number, name in enumerate(("mine", "other")):
        key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        (folder / name).write_bytes(
            key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
        )
        (folder / name).chmod(0o600)
        (folder / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH)
        )
        (folder / f"{name}.pub").chmod(0o644)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder where commands are run."""
    monkeypatch.chdir(tmp_path)
    write_keys_and_artifact(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A folder with bundles: good ones, one that is signed, and damaged ones."""
    folder = tmp_path_factory.mktemp("bundles")
    write_keys_and_artifact(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for end in ("b", "good.tar", "signed.tar --sign mine"):
            assert main(f"{CREATE} {end}".split()) == 0
    (folder / "b" / "build").write_bytes(b"other")
    content = (folder / "good.tar").read_bytes()
    (folder / "b.tar").write_bytes(content.replace(b"import", b"Import", 1))
    return folder


@pytest.fixture
def run(capsys):
    def run(line: str, code: int = 0) -> str:
        """Run a command, check its exit code and return what it wrote."""
        found = main(line.split())
        written = capsys.readouterr()
        assert found == code, written.err
        if code:
            assert written.out == ""
            assert written.err.splitlines()[-1].startswith("error: ")
            return written.err
        return written.out

    return run


def document(text: str) -> dict:
    found = json.loads(text)
    jsonschema.Draft202012Validator(load_schema("bundle")).validate(found)
    return found


def test_a_bundle_goes_all_the_way(place, run):
    made = document(run(f"{CREATE} b.tar.zst --sign mine --json"))
    assert made["signed_by"].startswith("SHA256:")
    assert made["target"] == "onnxruntime-cpu"
    shown = document(run("bundle show b.tar.zst --json"))
    assert {**shown, "bundle": ""} == {**made, "bundle": ""}
    checked = document(run("bundle verify b.tar.zst --key mine.pub --strict --json"))
    assert checked == {**shown, "signature_checked": True}
    unpacked = document(run("bundle unpack b.tar.zst --out out --key mine.pub --json"))
    assert unpacked == {**checked, "bundle": "out"}
    assert document(run("bundle verify out --json"))["release"] == made["release"]
    assert sorted(p.name for p in place.iterdir()) == sorted(
        ["b.tar.zst", "fp32", "mine", "mine.pub", "other", "other.pub", "out"]
    )


def test_folder_and_archives_are_the_same_release_and_the_same_bytes_again(place, run):
    names = ("b", "b.tar", "b.tar.zst")
    made = [document(run(f"{CREATE} {name} --json"))["release"] for name in names]
    assert len(set(made)) == 1
    before = (place / "b.tar.zst").read_bytes()
    run(f"{CREATE} b.tar.zst")
    assert (place / "b.tar.zst").read_bytes() == before


def test_what_is_shown_to_people(place, run):
    assert run(f"{CREATE} b --sign mine").splitlines() == run("bundle verify b").splitlines()
    first, second, *files = run("bundle show b").splitlines()
    assert first.startswith("b: release ") and "signed by SHA256:" in first
    assert first.endswith("(not checked: no --key)")
    assert second == "  artifacts/fp32: onnxruntime fp32, compact, 64x96"
    assert any(line.endswith("  registry.json") for line in files)
    assert "(not checked" not in run("bundle verify b --key mine.pub")
    run(f"{CREATE} b")  # the signature of the earlier one goes with it
    assert run("bundle verify b").splitlines()[0].endswith("not signed")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("verify b", 6, "build: expected "),
        ("verify b.tar", 6, "sha256"),
        ("verify none", 2, "none: expected a bundle's folder, got no such folder"),
        ("verify none.tar", 2, "none.tar: expected a packed bundle, got no such file"),
        ("verify fp32", 6, "bundle.json: expected the list of a bundle"),
        ("verify good.tar --key mine.pub", 6, "expected one by the key that was given, got none"),
        ("verify good.tar --strict", 2, "strict: expected the public key"),
        ("verify signed.tar --key other.pub", 6, "got one by SHA256:"),
        ("verify signed.tar --key mine", 2, "got a private key"),
        ("unpack good.tar --out new --key mine.pub --strict", 6, "got none"),
        ("unpack good.tar --out fp32", 2, "expected a new folder, got one that exists"),
        ("unpack fp32 --out new", 2, "expected a name that ends in .tar"),
        ("create fp32 --out new --sign mine.pub", 2, "expected a key that only its owner may read"),
        ("create fp32 --out new --target openvino-cpu", 2, "engine: expected openvino"),
        ("create fp32 --out new --target toaster", 5, "target: expected a file, or a bundled"),
        ("create fp32 fp32 --out new", 2, "expected one artifact of each precision"),
        ("create fp32 --out mine --target onnxruntime-cpu", 2, "expected a new folder or a bundle"),
        ("create none --out new", 2, "expected an artifact's folder, got no such folder"),
    ],
)
def test_refusals_have_their_code_and_leave_nothing(bundles, run, monkeypatch, line, code, message):
    monkeypatch.chdir(bundles)
    before = sorted(bundles.rglob("*"))
    assert message in run(f"bundle {line}", code)
    assert sorted(bundles.rglob("*")) == before

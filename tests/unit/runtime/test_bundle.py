"""A bundle is what its list says, byte for byte, and nothing else."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from small_bundle import FILES, corrupted, write_small_bundle

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.bundle import BUNDLE_NAME, BundleList, read_bundle, with_files
from erpose_edge.runtime.bundle_signature import SIGNATURE_NAME, Signature

CORRUPTIONS = 1000
SIGNATURE = Signature(bytes(range(32)), bytes(range(64)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_small_bundle(tmp_path / "b").folder


def relisted(folder: Path, **changes: object) -> bytes:
    """Return the list with other fields and the digest that belongs to them."""
    document = {**json.loads((folder / BUNDLE_NAME).read_bytes()), **changes}
    del document["bundle_sha256"]
    digest = hashlib.sha256(as_text(document)).hexdigest()
    return as_text({**document, "bundle_sha256": digest})


def as_text(document: dict[str, object]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def test_a_bundle_is_read_back(folder):
    bundle = read_bundle(folder)
    assert bundle.target == "openvino-cpu"
    assert bundle.artifacts == (folder / "artifacts" / "int8",)
    assert bundle.profile["budget"] == {"min_retention": 0.99}
    assert set(FILES) < set(bundle.document.files)
    assert bundle.signature is None
    listed = {p for p in folder.rglob("*") if p.is_file()} - {folder / BUNDLE_NAME}
    assert bundle.size_bytes == sum(path.stat().st_size for path in listed)


def test_the_same_content_is_the_same_release(folder, tmp_path):
    name = read_bundle(folder).name
    assert len(name) == 12 and int(name, 16) >= 0
    assert write_small_bundle(tmp_path / "elsewhere").name == name
    renamed = {"LICENSES" if path == "LICENSE" else path: c for path, c in FILES.items()}
    changed = {**FILES, "LICENSE": b"1"}
    others = [
        write_small_bundle(tmp_path / f"{i}", f).name for i, f in enumerate((renamed, changed))
    ]
    assert len({name, *others}) == 3


def test_a_thousand_corruptions_of_one_byte_are_all_detected(folder):
    signature = SIGNATURE.to_bytes((folder / BUNDLE_NAME).read_bytes())
    (folder / SIGNATURE_NAME).write_bytes(signature)
    assert read_bundle(folder).signature == SIGNATURE
    dice = random.Random(1)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for _ in range(CORRUPTIONS):
        path = dice.choice(paths)
        content = path.read_bytes()
        path.write_bytes(corrupted(content, dice))
        with pytest.raises(IntegrityError):
            read_bundle(folder)
        path.write_bytes(content)
    read_bundle(folder)


@pytest.mark.parametrize("path", ["extra", ".hidden", "onnx/extra", "new/extra", BUNDLE_NAME + "~"])
def test_a_file_that_is_not_listed_is_refused(folder, path):
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(b"")
    with pytest.raises(IntegrityError) as caught:
        read_bundle(folder)
    assert f"{folder / path}: expected only files that the bundle lists, got one" in str(
        caught.value
    )


def test_an_empty_folder_is_not_listed_either(folder):
    (folder / "onnx" / "empty").mkdir()
    with pytest.raises(IntegrityError, match="onnx/empty: expected only files"):
        read_bundle(folder)


def test_a_name_with_a_line_end_is_shown_in_one_line(folder):
    (folder / "a\nb").write_bytes(b"")
    with pytest.raises(IntegrityError) as caught:
        read_bundle(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", ["LICENSE", BUNDLE_NAME, "onnx"])
def test_a_link_is_refused_even_to_the_right_content(folder, tmp_path, path):
    (folder / path).rename(tmp_path / "elsewhere")
    (folder / path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match=f"{path}: expected "):
        read_bundle(folder)


def test_a_missing_file_and_one_of_another_size_are_named(folder):
    (folder / "build").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"build: expected 10 bytes, got 0; fetch or pack"):
        read_bundle(folder)
    (folder / "build").unlink()
    with pytest.raises(IntegrityError, match="build: expected the file that the bundle lists"):
        read_bundle(folder)


def test_no_bundle_and_no_folder_differ(tmp_path):
    with pytest.raises(IntegrityError, match=r"bundle\.json: expected the list of a bundle"):
        read_bundle(tmp_path)
    with pytest.raises(RequestError, match="expected a bundle's folder, got no such folder"):
        read_bundle(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match="expected a bundle's folder, got a file"):
        read_bundle(tmp_path / "file")


def test_what_a_device_makes_is_let_be_only_where_the_bundle_is_in_use(folder):
    for path in ("device/engine.plan", "erpose_runtime/__pycache__/x.pyc", "certificate.json"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(b"1")
        with pytest.raises(IntegrityError, match="expected only files that the bundle lists"):
            read_bundle(folder)
        read_bundle(folder, in_use=True)
    (folder / "erpose_runtime" / "device").mkdir()
    with pytest.raises(IntegrityError, match="erpose_runtime/device: expected only files"):
        read_bundle(folder, in_use=True)


def test_an_artifact_inside_must_be_whole_by_its_own_manifest(folder):
    (folder / "artifacts" / "int8" / "more.bin").write_bytes(b"1")
    listed = with_files(read_bundle_list(folder), folder)
    (folder / BUNDLE_NAME).write_bytes(listed.to_bytes())
    with pytest.raises(IntegrityError, match=r"more\.bin: expected only files that the manifest"):
        read_bundle(folder)


def read_bundle_list(folder: Path) -> BundleList:
    return BundleList.from_bytes((folder / BUNDLE_NAME).read_bytes())


ENTRY = {"sha256": "0" * 64, "size": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format_version: expected 1, got 2"),
        ({"target": 1}, "target: expected text, got 1"),
        ({"artifacts": []}, "artifacts: expected folders that hold a manifest.json, got 'none'"),
        ({"artifacts": ["onnx"]}, "folders that hold a manifest.json, got 'onnx'"),
        ({"artifacts": ["../x"]}, "folders that hold a manifest.json, got '../x'"),
        ({"profile": []}, "profile: expected an object"),
        ({"files": {"../x": ENTRY}}, "expected the path of a file of a bundle, got 'a path that"),
        ({"files": {"/x": ENTRY}}, "got 'a path that is not of plain names'"),
        ({"files": {"a": ENTRY, "A": ENTRY}}, "got 'a path like A, but for its case'"),
        ({"files": {BUNDLE_NAME: ENTRY}}, "got 'the list itself'"),
        ({"files": {"a": {"sha256": "0", "size": 1}}}, "files.a.sha256: expected 64 hex digits"),
        ({"files": {"a": {**ENTRY, "size": -1}}}, "files.a.size: expected an integer from 0"),
        ({"files": {"a": {**ENTRY, "size": 1 << 40}}}, "files: expected at most 2147483648 bytes"),
        ({"files": {"a": {**ENTRY, "mode": 1}}}, "files.a.mode: expected no such field"),
        ({"further": 1}, "further: expected no such field, got 1"),
    ],
)
def test_a_list_that_says_what_cannot_be_is_refused_though_its_hash_is_right(
    folder, changes, message
):
    with pytest.raises(IntegrityError) as caught:
        BundleList.from_bytes(relisted(folder, **changes))
    assert message in str(caught.value)
    assert caught.value.exit_code == 6


def test_a_list_has_one_spelling_only(folder):
    content = (folder / BUNDLE_NAME).read_bytes()
    assert BundleList.from_bytes(content).to_bytes() == content
    for other in (json.dumps(json.loads(content)).encode(), content + b"\n", content[:-1]):
        with pytest.raises(IntegrityError, match="expected the text that was hashed"):
            BundleList.from_bytes(other)


def test_a_file_whose_name_no_bundle_may_have_is_not_listed(folder):
    (folder / "a b").write_bytes(b"")
    with pytest.raises(IntegrityError, match="a b: expected the path of a file of a bundle, got"):
        with_files(read_bundle_list(folder), folder)

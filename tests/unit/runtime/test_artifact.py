from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny_pose import tiny_manifest

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.artifact import read_artifact, write_artifact

MANIFEST = tiny_manifest("compact", "openvino")
FILES = {"model.xml": b"<net/>", "model.bin": b"0123"}


def _folder_names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "made" / "artifact", MANIFEST, FILES).folder


def test_a_written_artifact_is_read_back(folder: Path, tmp_path: Path):
    artifact = read_artifact(folder)
    assert artifact.manifest.target == "tiny-test"
    assert list(artifact.manifest.files) == ["model.bin", "model.xml"]
    assert artifact.file(".xml", ".onnx") == folder / "model.xml"
    assert artifact.size_bytes == 10
    assert _folder_names(folder.parent) == ["artifact"]  # nothing temporary is left


def test_files_can_be_copied_in(tmp_path: Path):
    (tmp_path / "source").write_bytes(b"abc")
    artifact = write_artifact(tmp_path / "a", MANIFEST, {"model.onnx": tmp_path / "source"})
    assert artifact.file(".onnx").read_bytes() == b"abc"
    assert (tmp_path / "source").exists()


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_one_flipped_byte_in_any_file_is_noticed_and_named(folder: Path, name: str):
    path = folder / name
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(IntegrityError) as caught:
            read_artifact(folder)
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == 6


def test_a_missing_file_is_named(folder: Path):
    (folder / "model.bin").unlink()
    with pytest.raises(IntegrityError, match=r"model\.bin: expected the file that the manifest"):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["extra.bin", ".hidden"])
def test_a_file_that_is_not_listed_is_refused(folder: Path, name: str):
    (folder / name).write_bytes(b"")
    with pytest.raises(IntegrityError, match=f"{name}: expected only files that the manifest"):
        read_artifact(folder)


def test_a_link_is_refused_even_to_the_right_content(folder: Path, tmp_path: Path):
    (tmp_path / "elsewhere").write_bytes(FILES["model.bin"])
    (folder / "model.bin").unlink()
    (folder / "model.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match=r"model\.bin: expected the file"):
        read_artifact(folder)


def test_a_folder_without_a_manifest_and_no_folder_differ(tmp_path: Path):
    with pytest.raises(IntegrityError, match=r"manifest\.json: expected the manifest"):
        read_artifact(tmp_path)
    with pytest.raises(RequestError, match="expected an artifact's folder, got no such folder"):
        read_artifact(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match="expected an artifact's folder, got a file"):
        read_artifact(tmp_path / "file")


def test_an_artifact_is_replaced_whole(folder: Path):
    other = dataclasses.replace(MANIFEST, target="other")
    write_artifact(folder, other, {"model.onnx": b"new"})
    assert read_artifact(folder).manifest.target == "other"
    assert _folder_names(folder) == ["manifest.json", "model.onnx"]
    assert _folder_names(folder.parent) == ["artifact"]


def test_a_failed_write_leaves_the_old_artifact(folder: Path, tmp_path: Path):
    before = read_artifact(folder)
    with pytest.raises(FileNotFoundError):
        write_artifact(folder, MANIFEST, {"model.onnx": b"new", "more.bin": tmp_path / "none"})
    with pytest.raises(IntegrityError, match="precision"):
        write_artifact(folder, dataclasses.replace(MANIFEST, precision="int3"), FILES)
    assert read_artifact(folder) == before
    assert _folder_names(folder.parent) == ["artifact"]


def test_nothing_but_an_artifact_is_replaced(tmp_path: Path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("42")
    (tmp_path / "file").write_text("42")
    for name in ("precious", "file"):
        with pytest.raises(RequestError, match="expected a new folder or an artifact to replace"):
            write_artifact(tmp_path / name, MANIFEST, FILES)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "42"
    (tmp_path / "empty").mkdir()
    assert write_artifact(tmp_path / "empty", MANIFEST, FILES).folder == tmp_path / "empty"


@pytest.mark.parametrize("name", ["../evil", "a/b", "manifest.json", ".hidden"])
def test_file_names_that_leave_the_folder_are_not_written(tmp_path: Path, name: str):
    with pytest.raises(IntegrityError, match="expected plain file names without a path"):
        write_artifact(tmp_path / "a", MANIFEST, {name: b""})
    assert _folder_names(tmp_path) == []


def test_the_model_file_is_the_only_one_of_its_kind(tmp_path: Path):
    artifact = write_artifact(tmp_path / "a", MANIFEST, {"a.onnx": b"", "b.onnx": b""})
    with pytest.raises(IntegrityError, match=r"expected one file \.onnx, got a second one"):
        artifact.file(".onnx")
    with pytest.raises(IntegrityError, match=r"expected a file \.tflite"):
        artifact.file(".tflite")

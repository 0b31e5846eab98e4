"""A bundle is written whole or not at all, and the same inputs give the same bytes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_pose import tiny_manifest

from erpose_edge.deploy.bundle.write import write_bundle
from erpose_edge.deploy.profile import load_profile
from erpose_edge.deploy.registry import load_registry
from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.machine.registry import Registry
from erpose_edge.runtime.artifact import read_artifact, write_artifact
from erpose_edge.runtime.bundle import ReferenceAP, read_bundle

PROFILE = load_profile("onnxruntime-cpu")


def artifact(folder: Path, precision: str = "fp32", engine: str = "onnxruntime"):
    manifest = dataclasses.replace(tiny_manifest("compact", engine), precision=precision)
    return write_artifact(folder, manifest, {"model.onnx": b"graph", "runtime.zip": b"0"})


@pytest.fixture
def artifacts(tmp_path):
    return {p: artifact(tmp_path / "artifacts" / p, p) for p in ("int8", "fp32")}


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode & 0o7777,
        )
        for path in (folder, *folder.rglob("*"))
    }


def test_it_holds_what_a_board_needs(artifacts, tmp_path):
    extra = {"integration/erpose.service": b"[Unit]\n"}
    bundle = write_bundle(tmp_path / "made" / "b", artifacts, PROFILE, extra)
    assert bundle == read_bundle(bundle.folder)
    assert bundle.target == "onnxruntime-cpu"
    assert bundle.document.artifacts == ("artifacts/int8", "artifacts/fp32")
    assert [read_artifact(f).manifest.precision for f in bundle.artifacts] == ["int8", "fp32"]
    assert bundle.profile == PROFILE.model_dump(mode="json")
    assert bundle.document.licences == ("Apache-2.0",)
    files = set(bundle.document.files)
    assert {"LICENSE", "NOTICE", "README.md", "registry.json", *extra} < files
    assert {"erpose_edge/runtime/bundle.py", "erpose_runtime/__main__.py", "build"} < files
    assert not [path for path in files if path.startswith("erpose_edge/network")]
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["b"]
    assert (
        Registry.from_json(json.loads((bundle.folder / "registry.json").read_bytes()))
        == load_registry()
    )
    assert "artifacts/fp32" in (bundle.folder / "README.md").read_text()


def test_the_same_inputs_give_the_same_bytes(artifacts, tmp_path):
    first = write_bundle(tmp_path / "b", artifacts, PROFILE)
    moved = {}
    for name, found in artifacts.items():
        folder = Path(shutil.copytree(found.folder, tmp_path / "elsewhere" / name))
        for path in folder.iterdir():
            path.chmod(0o600)
            os.utime(path, (1e9, 1e9))
        moved[name] = read_artifact(folder)
    old = os.umask(0o077)
    try:
        second = write_bundle(tmp_path / "c", moved, PROFILE)
    finally:
        os.umask(old)
    assert tree(first.folder) == tree(second.folder)
    assert first.name == second.name
    swapped = dict(reversed(artifacts.items()))
    assert write_bundle(tmp_path / "d", swapped, PROFILE).name != first.name


def test_a_file_that_is_given_wins_over_that_of_the_package(artifacts, tmp_path):
    bundle = write_bundle(tmp_path / "b", artifacts, PROFILE, {"README.md": b"mine"})
    assert (bundle.folder / "README.md").read_bytes() == b"mine"


def test_the_accuracy_of_fp32_goes_along_where_it_is_known(artifacts, tmp_path):
    reference = ReferenceAP(scenes=32, seed=7, ap=0.25)
    bundle = write_bundle(tmp_path / "b", artifacts, PROFILE, reference=reference)
    assert read_bundle(bundle.folder).profile["reference"] == {"scenes": 32, "seed": 7, "ap": 0.25}


def test_its_commands_are_programs_that_need_no_install(artifacts, tmp_path):
    bundle = write_bundle(tmp_path / "b", artifacts, PROFILE)
    done = subprocess.run(
        [bundle.folder / "verify", "--json"],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    assert bundle.name in done.stdout
    assert read_bundle(bundle.folder).name == bundle.name  # no byte code is left


def test_an_earlier_bundle_is_replaced_and_nothing_else(artifacts, tmp_path):
    place = tmp_path / "b"
    place.mkdir()
    write_bundle(place, artifacts, PROFILE, {"old.txt": b""})  # an empty folder is no loss
    write_bundle(place, {"fp32": artifacts["fp32"]}, PROFILE)
    assert not (place / "old.txt").exists()
    assert not (place / "artifacts" / "int8").exists()
    for kind in ("folder", "file", "link"):
        other = tmp_path / kind
        if kind == "folder":
            other.mkdir()
            (other / "mine").write_bytes(b"")
        elif kind == "file":
            other.write_bytes(b"")
        else:
            other.symlink_to(place)
        before = tree(tmp_path)
        with pytest.raises(RequestError, match=f"{kind}: expected a new folder or a bundle to rep"):
            write_bundle(other, artifacts, PROFILE)
        assert tree(tmp_path) == before


def test_what_cannot_be_bundled_leaves_an_earlier_bundle_as_it_was(artifacts, tmp_path):
    write_bundle(tmp_path / "b", artifacts, PROFILE)
    foreign = artifact(tmp_path / "openvino", engine="openvino")
    damaged = artifact(tmp_path / "damaged")
    (damaged.folder / "model.onnx").write_bytes(b"other")
    before = tree(tmp_path)
    cases = [
        ({}, {}, RequestError, "bundle for onnxruntime-cpu: expected an artifact, got none"),
        (
            {"fp32": foreign},
            {},
            RequestError,
            "engine: expected onnxruntime, which onnxruntime-cpu runs, got openvino; export it",
        ),
        ({"fp32": damaged}, {}, IntegrityError, r"damaged/model\.onnx: expected sha256"),
        (artifacts, {"../evil": b""}, RequestError, "got a path that is not of plain names"),
        (artifacts, {"BUILD": b""}, IntegrityError, "got a path like BUILD, but for its case"),
        (artifacts, {"artifacts/int8/more": b""}, IntegrityError, "only files that the manifest"),
    ]
    for given, extra, error, message in cases:
        with pytest.raises(error, match=message):
            write_bundle(tmp_path / "b", given, PROFILE, extra)
        assert tree(tmp_path) == before

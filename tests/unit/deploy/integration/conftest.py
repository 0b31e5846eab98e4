"""A bundle with its integration files, and the modules that lie in it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from tiny_pose import write_tiny_artifact

from erpose_edge.deploy.bundle.write import write_bundle
from erpose_edge.deploy.integration.files import integration_files
from erpose_edge.deploy.profile import load_profile
from erpose_edge.runtime.artifact import read_artifact


def make_bundle(folder: Path, target: str, contract: str = "compact") -> Path:
    """Write a bundle for a target around the tiny network and return its folder."""
    profile = load_profile(target)
    artifact = read_artifact(write_tiny_artifact(folder / "artifact", contract, profile.engine))
    files = integration_files(artifact, profile)
    return write_bundle(folder / "bundle", {"fp32": artifact}, profile, files).folder


@pytest.fixture(scope="session")
def jetson(tmp_path_factory) -> Path:
    """Folder of a bundle for Orin boards."""
    return make_bundle(tmp_path_factory.mktemp("jetson"), "jetson-orin")


@pytest.fixture(scope="session")
def cpu(tmp_path_factory) -> Path:
    """Folder of a bundle for CPUs."""
    return make_bundle(tmp_path_factory.mktemp("cpu"), "onnxruntime-cpu")


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a file of a bundle, with nothing left of it afterwards."""

    def module(path: Path):
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return module

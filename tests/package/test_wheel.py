"""The wheel, alone in a fresh environment: base dependencies, none of the extras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from erpose_edge.resources import list_resources

ROOT = Path(__file__).parents[2]
CLONE_DATA = ("calibration", "configs", "targets")

pytestmark = pytest.mark.slow


def run(*command, cwd, code=0):
    """Run a command away from the clone; return its stdout."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT,
        cwd=folder,
    )  # fmt: skip
    (path,) = folder.glob("erpose_edge-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return the folder of programs of an environment that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    constraints = ROOT / "constraints.txt"
    run(
        programs / "python", "-m", "pip", "install", "--quiet", "-c", constraints, wheel,
        cwd=folder,
    )  # fmt: skip
    return programs


def test_data_and_weights_travel_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    expected = [
        f"erpose_edge/_data/{path.relative_to(ROOT).as_posix()}"
        for kind in CLONE_DATA
        for path in (ROOT / kind).rglob("*.yaml")
    ]
    expected += [
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.safetensors", "*.json", "py.typed")
        for path in (ROOT / "erpose_edge").rglob(pattern)
    ]
    made = ("__pycache__", ".pyc")
    expected += [
        path.relative_to(ROOT).as_posix()
        for templates in (ROOT / "erpose_edge").rglob("templates")
        for path in templates.rglob("*")
        if path.is_file() and not any(word in path.as_posix() for word in made)
    ]
    assert set(expected) <= set(names)
    assert len(names) == len(set(names))


def test_only_the_package_is_installed(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"erpose_edge"}


def test_the_base_install_brings_no_torch(installed):
    code = "import importlib.util as u; print([m for m in ('torch', 'openvino') if u.find_spec(m)])"
    assert run(installed / "python", "-c", code, cwd=installed) == "[]\n"


def test_help_runs_alone(installed):
    assert "Usage: erpose-edge" in run(installed / "erpose-edge", "--help", cwd=installed)


def test_targets_are_found_in_the_wheel(installed):
    document = json.loads(run(installed / "erpose-edge", "targets", "--json", cwd=installed))
    assert [target["name"] for target in document["targets"]] == list_resources("targets")


def test_info_runs_alone(installed):
    out = run(installed / "erpose-edge", "info", "--cfg", "n.yaml", "--json", cwd=installed)
    assert json.loads(out)["input_size"] == [640, 640]


def test_a_command_that_needs_an_extra_says_which(installed):
    done = subprocess.run(
        [installed / "erpose-edge", "train", "--cfg", "tiny"],
        cwd=installed, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: train: expected the package 'torch'")
    assert "erpose-edge[train]" in done.stderr

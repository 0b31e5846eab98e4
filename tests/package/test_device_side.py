"""What runs on a device imports numpy, OpenCV and the standard library, and an engine when used."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import erpose_edge
from erpose_edge.exporters.runtime_archive import device_files

DEVICE_SIDE = ("runtime", "machine", "metrics", "validate", "on_device")
ENGINES = ("openvino", "onnxruntime", "tensorrt", "ai_edge_litert", "tflite_runtime")
OTHERS = ("torch", "pydantic", "typer", "yaml", "rich", "safetensors", "onnx", "pycocotools")

BLOCKER = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocker())
for module in {modules!r}:
    importlib.import_module(module)
print(len({modules!r}))
"""


def modules_of(package: str) -> list[str]:
    folder = Path(erpose_edge.__file__).parent / package.replace(".", "/")
    name = f"erpose_edge.{package}"
    return [name, *(m.name for m in pkgutil.walk_packages([str(folder)], f"{name}."))]


def import_without(blocked, modules):
    code = BLOCKER.format(blocked=blocked, modules=modules)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("package", [*DEVICE_SIDE, "data.generated"])
def test_the_device_side_imports_without_torch_and_without_any_engine(package):
    # A runner's module is imported when its engine is asked for.
    names = [name for name in modules_of(package) if not name.endswith("_runner")]
    done = import_without(ENGINES + OTHERS, names)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(names)


@pytest.mark.parametrize(
    ("engine", "module"),
    [
        ("openvino", "openvino_runner"),
        ("onnxruntime", "onnx_runner"),
        ("ai_edge_litert", "tflite_runner"),
    ],
)
def test_a_runner_needs_its_engine_and_nothing_else(engine, module):
    pytest.importorskip(engine)
    others = tuple(e for e in ENGINES if e != engine)
    done = import_without(others + OTHERS, [f"erpose_edge.runtime.{module}"])
    assert done.returncode == 0, done.stderr


def test_what_a_bundle_carries_asks_for_no_newer_python_than_jetpack_5_has(tmp_path):
    for name, content in device_files().items():
        if name.endswith(".py"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    vermin = str(Path(sys.executable).with_name("vermin"))
    check = [vermin, "-t=3.8-", "--violations", "--no-tips", "-q"]
    done = subprocess.run([*check, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tmp_path / "newer.py").write_text("'a'.removeprefix('a')\n")
    assert subprocess.run([*check, str(tmp_path)], capture_output=True).returncode == 1


def test_the_blocker_blocks():
    assert "blocked: " in import_without(OTHERS, ["erpose_edge.config"]).stderr

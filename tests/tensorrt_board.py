"""A board for tests: a Jetson's files, stand-ins of CUDA and of one version of TensorRT."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fake_tensorrt
from fake_cuda import FakeCuda
from tiny_pose import write_tiny_artifact

from erpose_edge.runtime.artifact import Artifact, read_artifact, write_artifact
from erpose_edge.runtime.tensorrt import build as tensorrt_build
from erpose_edge.runtime.tensorrt.build import BuildOptions, engine_for
from erpose_edge.runtime.tensorrt.builder import BuildJob, build
from erpose_edge.runtime.tensorrt.cuda import GpuFacts, gpu_facts
from erpose_edge.runtime.tensorrt.cuda_library import CudaLibrary

MB = 1 << 20


@dataclass
class Board:
    """Everything that a runner needs, and what was said to the user."""

    root: Path
    trt: Any
    fake: FakeCuda
    library: CudaLibrary
    gpu: GpuFacts
    artifact: Artifact
    said: list[str] = field(default_factory=list)

    @property
    def options(self) -> BuildOptions:
        return BuildOptions(cache=self.root / "cache")

    def build(self, options: BuildOptions | None = None) -> Path:
        """Return the engine's path, for the board's own files."""
        options = options or self.options
        return engine_for(self.artifact, self.trt, self.gpu, options, self.said.append, self.root)


def make_board(folder: Path, monkeypatch: Any, version: str, contract: str = "compact") -> Board:
    """Make a board whose module ``tensorrt`` is importable, here and in other processes."""
    source = folder / "python"
    source.mkdir(parents=True)
    (source / "tensorrt.py").write_text(
        f"from fake_tensorrt import install\ninstall(globals(), {version!r})\n"
    )
    tests = str(Path(fake_tensorrt.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", f"{source}:{tests}")
    monkeypatch.delenv(fake_tensorrt.END, raising=False)
    monkeypatch.syspath_prepend(str(source))
    # So that what was there before, or nothing, is there again after the test.
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    del sys.modules["tensorrt"]
    trt = importlib.import_module("tensorrt")
    (folder / "etc").mkdir()
    (folder / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1\n")
    (folder / "proc").mkdir()
    (folder / "proc" / "meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 2097152 kB\n")
    fake = FakeCuda()
    library = CudaLibrary(fake)
    artifact = read_artifact(write_tiny_artifact(folder / "artifact", contract, "tensorrt"))
    return Board(folder, trt, fake, library, gpu_facts(library), artifact)


def build_in_process(monkeypatch: Any, board: Board) -> None:
    """Build without the other process, which costs most of a second."""

    def run(job: BuildJob, log: Path, tell: object) -> None:
        build(board.trt, job, lambda _: None)

    monkeypatch.setattr(tensorrt_build, "run_builder", run)


def with_precision(board: Board, precision: str, more: dict[str, bytes] | None = None) -> None:
    """Say in the artifact's manifest that it is of another precision, and add files."""
    files = {
        name: (board.artifact.folder / name).read_bytes() for name in board.artifact.manifest.files
    }
    board.artifact = write_artifact(
        board.artifact.folder,
        replace(board.artifact.manifest, precision=precision),
        {**files, **(more or {})},
    )

"""Build an artifact's engine on this device, or find the one that was built before.

On a board, with nothing installed but JetPack::

    PYTHONPATH=artifact/runtime.zip python3 -m erpose_edge.runtime.tensorrt.build artifact

The builder runs in a process of its own (`erpose_edge.runtime.tensorrt.builder`), because the
system ends whoever takes too much memory, on boards with 4 GB often: here that is an error which
says what helps. All that TensorRT says is kept in a log beside the engine.

Never run with TensorRT itself or on a GPU: see `erpose_edge.runtime.tensorrt.builder`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import ErposeError, MissingExtraError, RequestError, TargetError
from erpose_edge.runtime.artifact import Artifact, read_artifact
from erpose_edge.runtime.tensorrt.builder import BuildJob
from erpose_edge.runtime.tensorrt.cache import CacheEntry, cache_entry, engine_facts
from erpose_edge.runtime.tensorrt.cuda import GpuFacts, gpu_facts
from erpose_edge.runtime.tensorrt.cuda_library import CudaLibrary
from erpose_edge.runtime.tensorrt.dla_build import dla_of
from erpose_edge.runtime.tensorrt.process import run_builder, say
from erpose_edge.runtime.tensorrt.versions import (
    MODEL_ONNX,
    TYPED_ONNX,
    TYPINGS,
    Abilities,
    builder_flags,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_MB = 1 << 20
# The workspace: a quarter of what is free, within these limits. A network of this size uses a
# fraction of the upper one; below the lower one kernels are left out.
_SHARE = 0.25
_LEAST_BYTES = 64 * _MB
_MOST_BYTES = 2048 * _MB
_AVAILABLE = re.compile(r"^MemAvailable:\s*(\d+) kB", re.M)


@dataclass(frozen=True)
class BuildOptions:
    """How engines are built, where it is not left to this device.

    Attributes:
        cache: Folder of all engines; None for the user's.
        typing: ``weak`` or ``strong``; None for what the version offers, ``weak`` before 11.
        dla_core: Number of the DLA core; None for the GPU.
        workspace_mb: That kernels may take; None for a share of what is free.
        optimization_level: 0 (built fast) to 5 (runs fast); None for the builder's own.
        again: Build even what is there.
        force: Keep an engine for DLA that changes to the GPU more often than the target allows.
    """

    cache: Path | None = None
    typing: str | None = None
    dla_core: int | None = None
    workspace_mb: int | None = None
    optimization_level: int | None = None
    again: bool = False
    force: bool = False


def engine_for(
    artifact: Artifact,
    trt: Any,  # noqa: ANN401 - the module of TensorRT
    gpu: GpuFacts,
    options: BuildOptions | None = None,
    tell: Callable[[str], None] = say,
    root: Path = Path("/"),
) -> Path:
    """Return the path of an artifact's engine for this device, built if it has to be.

    Args:
        artifact: As `read_artifact` returns it.
        trt: The module of TensorRT.
        gpu: That will run the engine.
        options: How to build.
        tell: Takes lines for the user: why an engine is built, how far it is, what it became.
        root: Of the file system, for tests.

    Raises:
        RequestError: An option is out of range.
        TargetError: The engine cannot be built; the message names the log.
    """
    options = options or BuildOptions()
    abilities = Abilities.of(trt)
    _check(options, abilities)
    typing = abilities.typing(options.typing)
    dla = None if options.dla_core is None else dla_of(artifact, abilities.version, typing)
    onnx = _graph(artifact, typing) if dla is None or dla.graph is None else dla.graph
    precision = artifact.manifest.precision
    flags = builder_flags(precision, typing, dla=options.dla_core is not None)
    facts = engine_facts(
        artifact.manifest,
        artifact.manifest.files[onnx.name],
        abilities.version,
        gpu,
        (typing, *flags, *_settings(options), *(() if dla is None else dla.settings)),
        options.dla_core,
        root,
    )
    entry = cache_entry(options.cache, artifact.manifest, facts)
    reason = entry.missing()
    if reason is None and not options.again:
        return entry.engine
    tell(reason or f"engine {entry.folder.name}: building it again")
    job = BuildJob(
        module=trt.__name__,
        onnx=str(onnx),
        engine=str(entry.engine.with_name(f".{entry.engine.name}.{os.getpid()}")),
        typing=typing,
        flags=list(flags),
        workspace_bytes=workspace_bytes(gpu, options.workspace_mb, root),
        tensors=manifest_tensors(artifact),
        timing_cache=str(entry.timing),
        dla_core=options.dla_core,
        dla_plan=None if dla is None else str(dla.path),
        optimization_level=options.optimization_level,
    )
    _make(job, entry, abilities, tell, None if dla is None else dla.check(options.force))
    return entry.engine


def manifest_tensors(artifact: Artifact) -> dict[str, list[int]]:
    """Return the shape of every input and output by name."""
    manifest = artifact.manifest
    tensors = {manifest.input.name: list(manifest.input.shape)}
    tensors.update({spec.name: list(spec.shape) for spec in manifest.outputs})
    return tensors


def workspace_bytes(gpu: GpuFacts, asked_mb: int | None = None, root: Path = Path("/")) -> int:
    """Return how much memory kernels may take for themselves.

    Args:
        gpu: Where the memory is.
        asked_mb: By the user; taken as it is.
        root: Of the file system, for tests.
    """
    if asked_mb is not None:
        return asked_mb * _MB
    free = gpu.free_bytes
    meminfo = root / "proc" / "meminfo"
    if gpu.integrated and meminfo.is_file():
        # On a Jetson CUDA does not count what the system would give back, its file cache above all.
        found = _AVAILABLE.search(meminfo.read_text())
        free = int(found.group(1)) * 1024 if found else free
    return int(min(max(free * _SHARE, _LEAST_BYTES), _MOST_BYTES)) // _MB * _MB


def _make(
    job: BuildJob,
    entry: CacheEntry,
    abilities: Abilities,
    tell: Callable[[str], None],
    check: Callable[[CacheEntry, Callable[[str], None]], None] | None,
) -> None:
    entry.folder.mkdir(parents=True, exist_ok=True)
    started, built = time.monotonic(), Path(job.engine)
    tell(
        f"building {entry.folder.name} with TensorRT {abilities.version}, "
        f"workspace {job.workspace_bytes // _MB} MB; log: {entry.log}"
    )
    try:
        run_builder(job, entry.log, tell)
        if check is not None:
            check(entry, tell)
        seconds = time.monotonic() - started
        size = built.stat().st_size
        entry.store(built, {"seconds": round(seconds, 1), "workspace_bytes": job.workspace_bytes})
    finally:
        if built.exists():
            built.unlink()
    tell(f"built in {seconds:.0f} s: {entry.engine} ({size / _MB:.1f} MB)")


def _graph(artifact: Artifact, typing: str) -> Path:
    files = artifact.manifest.files
    # A graph whose tensors all have one type is written once, under the first name.
    name = TYPED_ONNX if typing == "strong" and TYPED_ONNX in files else MODEL_ONNX
    if name not in files:
        raise TargetError(
            f"{artifact.folder}: expected {name} for a {typing}ly typed network, "
            f"got {', '.join(sorted(files))}; export the artifact for TensorRT"
        )
    return artifact.folder / name


def _settings(options: BuildOptions) -> tuple[str, ...]:
    named = {"workspace_mb": options.workspace_mb, "level": options.optimization_level}
    return tuple(f"{name}={value}" for name, value in named.items() if value is not None)


def _check(options: BuildOptions, abilities: Abilities) -> None:
    level, megabytes = options.optimization_level, options.workspace_mb
    if level is not None and not 0 <= level <= 5:
        raise RequestError(f"level: expected 0 to 5, got {level}; leave it out")
    if level is not None and not abilities.optimization_level:
        raise TargetError(
            f"level: expected TensorRT 8.6 or newer, got {abilities.version}; leave it out"
        )
    if megabytes is not None and megabytes < 1:
        raise RequestError(f"workspace-mb: expected at least 1, got {megabytes}; leave it out")


def main(arguments: list[str] | None = None) -> int:
    """Build the engine of an artifact and print its path."""
    parser = argparse.ArgumentParser(prog=f"python3 -m {__spec__.name if __spec__ else ''}")
    parser.add_argument("artifact", type=Path, help="folder of an artifact for TensorRT")
    parser.add_argument("--cache", type=Path, help="folder of all engines")
    parser.add_argument("--typing", choices=TYPINGS, help="strong: precision from the graph alone")
    parser.add_argument("--dla-core", type=int, help="number of the DLA core")
    parser.add_argument("--workspace-mb", type=int, help="memory that kernels may take")
    parser.add_argument("--level", type=int, help="0: built fast, 5: runs fast")
    parser.add_argument("--force", action="store_true", help="take it whatever DLA leaves over")
    parser.add_argument("--again", action="store_true", help="build even what is there")
    given = parser.parse_args(arguments)
    options = BuildOptions(
        cache=given.cache,
        typing=given.typing,
        dla_core=given.dla_core,
        workspace_mb=given.workspace_mb,
        optimization_level=given.level,
        again=given.again,
        force=given.force,
    )
    try:
        artifact = read_artifact(given.artifact)
        path = engine_for(artifact, tensorrt_module(), gpu_facts(CudaLibrary()), options)
    except ErposeError as error:
        say(f"error: {error}")
        return error.exit_code
    sys.stdout.write(f"{path}\n")
    return 0


def tensorrt_module() -> Any:  # noqa: ANN401 - the module, of any version
    """Return the module of TensorRT.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import tensorrt
    except ModuleNotFoundError as error:
        if error.name != "tensorrt":  # it is there, but broken
            raise
        raise MissingExtraError(
            "tensorrt: expected the package tensorrt, got none; on Jetson run: sudo apt install "
            "python3-libnvinfer, elsewhere: pip install 'erpose-edge[tensorrt]'"
        ) from None
    return tensorrt


if __name__ == "__main__":
    sys.exit(main())

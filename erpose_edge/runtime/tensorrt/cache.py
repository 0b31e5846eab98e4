"""Engines that were built on this device, by everything that an engine depends on.

TensorRT times its kernels on the very GPU that will run them, so an engine is good for one version,
one board and one graph. Compute capability alone does not say which: Orin Nano, NX and AGX share it
and differ in their number of multiprocessors. The key is the hash of all of these facts; a file
beside the engine says them in words, so that a rebuild can be explained. Nothing is put into the
engine's own file, which other tools have to read.

    <cache>/<target-precision-contract-size>/<key>.engine   as TensorRT wrote it
                                             <key>.json     the facts, and the engine's sha256
                                             <key>.log      all that the builder said
    <cache>/timing-<key>.cache                              kernel timings, shared by all engines
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.runtime.artifact import file_sha256
from erpose_edge.runtime.files import write_whole
from erpose_edge.runtime.l4t import l4t_release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from erpose_edge.runtime.manifest import Manifest
    from erpose_edge.runtime.tensorrt.cuda import GpuFacts

_FORMAT = 1
_KEY_DIGITS = 16
# What kernel timings depend on.
_TIMING_FACTS = ("tensorrt", "l4t", "gpu", "compute_capability", "multiprocessors")
# How a fact is called in the line about a rebuild.
_WORDS = {
    "onnx_sha256": "the model",
    "policy": "the quantization policy",
    "input": "the input",
    "tensorrt": "TensorRT",
    "l4t": "L4T",
    "gpu": "the GPU",
    "compute_capability": "the compute capability",
    "multiprocessors": "the number of multiprocessors",
    "dla_core": "the DLA core",
    "flags": "the builder's settings",
}
_LONGEST = 24


@dataclass(frozen=True)
class CacheEntry:
    """Where an engine and what belongs to it are kept; the files need not be there.

    Attributes:
        facts: All that the engine depends on, in words.
        folder: Of all engines of this target, precision, contract and size.
        timing: File of kernel timings.
    """

    facts: Mapping[str, str]
    folder: Path
    timing: Path

    @property
    def engine(self) -> Path:
        """Return the engine's path."""
        return self.folder / f"{facts_key(self.facts)}.engine"

    @property
    def log(self) -> Path:
        """Return the path of all that the builder said."""
        return self.engine.with_suffix(".log")

    @property
    def sidecar(self) -> Path:
        """Return the path of the facts."""
        return self.engine.with_suffix(".json")

    def missing(self) -> str | None:
        """Return in one line why the engine has to be built; None if it is there and whole."""
        name = self.folder.name
        said = _read(self.sidecar)
        if said is not None and self.engine.is_file():
            if said.get("engine_sha256") == file_sha256(self.engine):
                return None
            return f"engine {name}: {self.engine} is damaged: building it anew"
        earlier = self._newest()
        if earlier is None:
            return f"engine {name}: none was built on this device yet: building it, once"
        return f"engine {name}: {changed(earlier, self.facts)}: building it anew"

    def store(self, built: Path, more: Mapping[str, Any]) -> None:
        """Put a new engine in place, and then its facts.

        Args:
            built: The engine under a temporary name in the same folder.
            more: What else the side-car says.
        """
        document = {
            "format": _FORMAT,
            "facts": dict(self.facts),
            "engine_sha256": file_sha256(built),
            **more,
        }
        built.replace(self.engine)
        write_whole(self.sidecar, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())

    def _newest(self) -> Mapping[str, str] | None:
        """Return the facts of the engine that was built last in this folder."""
        found = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in reversed(found):
            said = _read(path)
            if said is not None:
                facts: Mapping[str, str] = said["facts"]
                return facts
        return None


def engine_facts(
    manifest: Manifest,
    onnx_sha256: str,
    tensorrt: str,
    gpu: GpuFacts,
    flags: tuple[str, ...],
    dla_core: int | None = None,
    root: Path = Path("/"),
) -> dict[str, str]:
    """Return everything that an engine depends on, in words.

    The power mode is not part of it: engines run in all of them. The workspace is only where it
    was asked for, in ``flags``: what is free differs each time.

    Args:
        manifest: Of the artifact.
        onnx_sha256: Of the graph that is built.
        tensorrt: Exact version.
        gpu: That it is built on.
        flags: The builder's settings.
        dla_core: Number of the DLA core; None for the GPU.
        root: Of the file system, for tests.
    """
    spec = manifest.input
    return {
        "onnx_sha256": onnx_sha256,
        "policy": f"{manifest.precision} {manifest.policy_sha256 or 'none'}",
        "input": f"{spec.name} {'x'.join(map(str, spec.shape))} {spec.layout}",
        "tensorrt": tensorrt,
        "l4t": l4t_release(root),
        "gpu": gpu.name,
        "compute_capability": ".".join(map(str, gpu.compute_capability)),
        "multiprocessors": str(gpu.multiprocessors),
        "dla_core": "none" if dla_core is None else str(dla_core),
        "flags": " ".join(flags) or "none",
    }


def facts_key(facts: Mapping[str, str]) -> str:
    """Return the key of an engine's facts."""
    text = json.dumps(dict(facts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]


def changed(earlier: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return in words what is another than it was."""
    parts = []
    for name in sorted({*earlier, *now}, key=lambda name: [*_WORDS, name].index(name)):
        before, after = earlier.get(name, "not said"), now.get(name, "not said")
        if before != after:
            parts.append(f"{_WORDS.get(name, name)} was {_short(before)}, is {_short(after)}")
    return "; ".join(parts) or "it was removed"


def cache_entry(root: Path | None, manifest: Manifest, facts: Mapping[str, str]) -> CacheEntry:
    """Return where an engine belongs.

    Args:
        root: Folder of all engines; None for the user's.
        manifest: Of the artifact.
        facts: As `engine_facts` returns them.
    """
    root = default_cache() if root is None else root
    size = "x".join(map(str, manifest.input_size))
    name = f"{manifest.target}-{manifest.precision}-{manifest.contract}-{size}"
    timing = facts_key({name: facts[name] for name in _TIMING_FACTS})
    # The manifest came from somewhere else: its target must not lead out of the folder.
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")
    return CacheEntry(facts, root / plain, root / f"timing-{timing}.cache")


def default_cache() -> Path:
    """Return the folder of this user's engines."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "erpose-edge" / "engines"


def _read(path: Path) -> dict[str, Any] | None:
    """Return a side-car; None if it is missing or not one."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    known = isinstance(document, dict) and document.get("format") == _FORMAT
    return document if known and isinstance(document.get("facts"), dict) else None


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

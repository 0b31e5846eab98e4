"""What a certificate says of artifacts, data and code: their facts and hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import erpose_edge
from erpose_edge.runtime.artifact import file_sha256
from erpose_edge.runtime.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from erpose_edge.runtime.artifact import Artifact

# All that a measurement runs through besides the engine: the same files in a clone, an
# installation and a bundle.
_CODE = (
    "__init__.py",
    "errors.py",
    "skeleton.py",
    "runtime",
    "machine",
    "metrics",
    "validate",
    "data/__init__.py",
    "data/generated",
    "on_device",
)
_GENERATOR = ("data/generated",)
GENERATED = "generated people"


def code_sha256() -> str:
    """Return the hash of the sources that measure on a device, those that run now."""
    return _sources_sha256(_CODE)


def artifact_facts(artifact: Artifact, engine: str, threads: int | None) -> dict[str, Any]:
    """Return what a certificate says of an artifact.

    Args:
        artifact: As `read_artifact` returns it.
        engine: Name and version of the engine that ran it.
        threads: Of the engine.
    """
    manifest = artifact.manifest
    return {
        "precision": manifest.precision,
        "engine": engine,
        "threads": threads,
        "contract": manifest.contract,
        "input_size": list(manifest.input_size),
        "skeleton": manifest.skeleton,
        "size_mb": round(artifact.size_bytes / 1e6, 3),
        "manifest_sha256": file_sha256(artifact.folder / MANIFEST_NAME),
        "weights_sha256": manifest.weights_sha256,
        "calibration_sha256": manifest.calibration_sha256,
        "policy_sha256": manifest.policy_sha256,
        "files": dict(manifest.files),
    }


def generated_data(scenes: int, seed: int, size: Sequence[int]) -> dict[str, Any]:
    """Return what a certificate says of generated scenes; their hash follows from the rest.

    Args:
        scenes: How many.
        seed: Of the data set.
        size: (height, width) in pixels.
    """
    facts: dict[str, Any] = {
        "description": f"{scenes} generated scenes of seed {seed}",
        "kind": GENERATED,
        "scenes": scenes,
        "seed": seed,
        "size": list(size),
        "images": scenes,
        "generator_sha256": _sources_sha256(_GENERATOR),
    }
    return {**facts, "sha256": facts_sha256(facts)}


def facts_sha256(facts: Mapping[str, Any]) -> str:
    """Return the hash of a data set that its facts define."""
    body = {name: value for name, value in facts.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sources_sha256(parts: Sequence[str]) -> str:
    package = Path(erpose_edge.__file__).parent
    lines = []
    for part in parts:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            lines.append(f"{file.relative_to(package).as_posix()} {file_sha256(file)}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()

"""Write a bundle from artifacts: the same inputs give the same bytes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any

import erpose_edge
from erpose_edge import __version__
from erpose_edge.deploy.profile import Profile
from erpose_edge.errors import RequestError
from erpose_edge.exporters.runtime_archive import device_files
from erpose_edge.on_device.program import COMMANDS
from erpose_edge.runtime.artifact import Artifact, read_artifact
from erpose_edge.runtime.bundle import (
    BUNDLE_NAME,
    Bundle,
    BundleList,
    ReferenceAP,
    read_bundle,
    with_files,
)
from erpose_edge.runtime.files import put_in_place
from erpose_edge.runtime.manifest import MANIFEST_NAME
from erpose_edge.runtime.safe_tar import mode_of, path_fault

ARTIFACTS_FOLDER = "artifacts"
_LICENCES = ("LICENSE", "NOTICE")
_NOTHING: Mapping[str, bytes] = MappingProxyType({})


def write_bundle(
    folder: Path,
    artifacts: Mapping[str, Artifact],
    profile: Profile,
    extra: Mapping[str, bytes] = _NOTHING,
    reference: ReferenceAP | None = None,
) -> Bundle:
    """Write a bundle; an earlier one at ``folder`` is replaced when the new one is complete.

    Args:
        folder: Its parent is made if missing.
        artifacts: By the name of their folder in the bundle; the first one serves.
        profile: Of the target.
        extra: Further files by path from the bundle's folder; they win over those of this package.
        reference: Accuracy of fp32, where the board does not measure that itself.

    Returns:
        The bundle as it was read back.

    Raises:
        RequestError: ``folder`` holds something that is not a bundle, an artifact is of another
            engine than the target, or there is none.
        IntegrityError: An artifact is damaged.
    """
    require_place(folder)
    _require_fit(artifacts, profile)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        listed = BundleList(
            target=profile.name,
            artifacts=tuple(f"{ARTIFACTS_FOLDER}/{name}" for name in artifacts),
            profile=_profile(profile, reference),
            files={},
            licences=tuple(sorted({n for a in artifacts.values() for n in a.manifest.licences})),
            tool_versions={"erpose-edge": __version__},
        )
        for path, content in {**device_files(), **_documents(listed), **extra}.items():
            _put(fresh, path, content)
        for path, artifact in zip(listed.artifacts, artifacts.values(), strict=True):
            for name in (MANIFEST_NAME, *read_artifact(artifact.folder).manifest.files):
                _put(fresh, f"{path}/{name}", artifact.folder / name)
        listed = with_files(listed, fresh)
        _put(fresh, BUNDLE_NAME, listed.to_bytes())
        for place in (fresh, *(p for p in fresh.rglob("*") if p.is_dir())):
            place.chmod(0o755)
        read_bundle(fresh)
        put_in_place(fresh, folder, Path(scratch) / "old")
    return Bundle(folder, listed)


def _profile(profile: Profile, reference: ReferenceAP | None) -> dict[str, Any]:
    known = {} if reference is None else {"reference": asdict(reference)}
    return {**profile.model_dump(mode="json"), **known}


def require_place(folder: Path) -> None:
    """Refuse a folder that holds something other than a bundle.

    Raises:
        RequestError: It does.
    """
    occupied = folder.exists() and not (folder / BUNDLE_NAME).is_file()
    if folder.is_symlink() or (occupied and (not folder.is_dir() or any(folder.iterdir()))):
        raise RequestError(
            f"{folder}: expected a new folder or a bundle to replace, got something else; "
            "choose another place"
        )


def _require_fit(artifacts: Mapping[str, Artifact], profile: Profile) -> None:
    if not artifacts:
        raise RequestError(
            f"bundle for {profile.name}: expected an artifact, got none; "
            "make one with `erpose-edge export`"
        )
    for artifact in artifacts.values():
        if artifact.manifest.engine != profile.engine:
            raise RequestError(
                f"{artifact.folder}: engine: expected {profile.engine}, which {profile.name} runs, "
                f"got {artifact.manifest.engine}; export it with --target {profile.name}"
            )


def _put(folder: Path, path: str, content: bytes | Path) -> None:
    fault = path_fault(path)
    if fault is not None:
        raise RequestError(
            f"bundle: {path!r}: expected plain names with / between them, got {fault}; rename it"
        )
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        shutil.copyfile(content, target)
    target.chmod(mode_of(path))


def _documents(listed: BundleList) -> dict[str, bytes]:
    """Return the files that are about the bundle, by path."""
    from erpose_edge.deploy.registry import load_registry

    registry = json.dumps(load_registry().to_json(), indent=1, sort_keys=True, allow_nan=False)
    return {
        "README.md": _readme(listed).encode(),
        "registry.json": f"{registry}\n".encode(),
        **{name: _own_text(name) for name in _LICENCES},
    }


def _own_text(name: str) -> bytes:
    """Return a file of the project's top folder: of the clone, or of the installed package."""
    clone = Path(erpose_edge.__file__).parents[1]
    if (clone / "pyproject.toml").is_file():
        return (clone / name).read_bytes()
    try:
        text = distribution("erpose-edge").read_text(f"licenses/{name}")
    except PackageNotFoundError:
        text = None
    if text is None:
        raise RequestError(
            f"bundle: expected the file {name} of erpose-edge, got none; install it again"
        )
    return text.encode()


def _readme(listed: BundleList) -> str:
    artifacts = "\n".join(f"- `{path}`" for path in listed.artifacts)
    commands = "\n".join(f"    ./{name:<12}{what}" for name, what in COMMANDS.items())
    return f"""\
# Pose engine for {listed.target}

A bundle of erpose-edge {__version__}. It needs python3 (3.8 or newer), numpy, cv2 and the engine
`{listed.profile["engine"]}`; nothing is installed. In this folder:

{commands}

Each takes --help; `python3 -m erpose_runtime COMMAND` is the same. Artifacts, the one that serves
first:

{artifacts}

`bundle.json` lists every file with its sha256; a file that is changed, added or missing is refused.
"""

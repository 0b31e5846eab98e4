"""A bundle: the folder that goes to a board, and the list that vouches for all that is in it.

It holds artifacts, the device's half of this package as plain files, and what belongs to them.
As with an artifact nothing is believed that the hashes do not confirm, and there is nothing in the
folder that the list does not name. The digest of the list is the name of the release: equal
contents have equal names.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.artifact import Artifact, file_sha256, read_artifact
from erpose_edge.runtime.bundle_signature import SIGNATURE_NAME, Signature
from erpose_edge.runtime.manifest import MANIFEST_NAME, Manifest
from erpose_edge.runtime.manifest_fields import Fields
from erpose_edge.runtime.safe_tar import LIMITS, Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BUNDLE_NAME = "bundle.json"
FORMAT_VERSION = 1
DEVICE_FOLDER = "device"
_BYTE_CODE = "__pycache__"
_CERTIFICATE = "certificate.json"
_DIGEST = "bundle_sha256"
_NAME_DIGITS = 12


@dataclass(frozen=True)
class ListedFile:
    """What the list says of one file: its sha256 in hex, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class ReferenceAP:
    """Keypoint AP of fp32, which the board compares its own with, and where it was measured.

    Attributes:
        scenes: How many generated scenes.
        seed: Of the first of them.
        ap: From 0 to 1.
    """

    scenes: int
    seed: int
    ap: float


@dataclass(frozen=True)
class BundleList:
    """Content of ``bundle.json``.

    Attributes:
        target: Name of the device profile.
        artifacts: Folders of the artifacts in the bundle; the first one serves, others are there
            to be compared with.
        profile: What the board needs to know of the device profile, and under ``reference`` the
            fields of `ReferenceAP`, if they are known.
        files: Every other file, by path from the bundle's folder.
        licences: Of what is inside.
        tool_versions: Version by tool that had a hand in it.
    """

    target: str
    artifacts: tuple[str, ...]
    profile: dict[str, Any]
    files: dict[str, ListedFile]
    licences: tuple[str, ...]
    tool_versions: dict[str, str]

    @property
    def digest(self) -> str:
        """sha256 over everything that the list says, in hex."""
        return hashlib.sha256(_text(self._document())).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the one way to write this list."""
        return _text({**self._document(), _DIGEST: self.digest})

    @classmethod
    def from_bytes(cls, content: bytes, where: str = BUNDLE_NAME) -> BundleList:
        """Read what `to_bytes` wrote.

        Raises:
            IntegrityError: It is not the text that `to_bytes` writes, byte for byte, or what it
                says cannot be.
        """
        fields = Fields.parse(content, where)
        version = fields.integer("format_version", 0)
        if version != FORMAT_VERSION:
            raise fields.error("format_version", str(FORMAT_VERSION), version)
        found = cls(
            target=fields.text("target"),
            artifacts=fields.texts("artifacts"),
            profile=fields.mapping("profile"),
            files=_files(fields),
            licences=fields.texts("licences"),
            tool_versions=fields.texts_by_name("tool_versions"),
        )
        fields.sha256(_DIGEST)
        fields.end()
        for folder in found.artifacts or ("none",):
            if f"{folder}/manifest.json" not in found.files:
                raise fields.error("artifacts", "folders that hold a manifest.json", folder)
        if found.to_bytes() != content:
            raise _error(where, "the text that was hashed when it was written", "another")
        return found

    def _document(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "target": self.target,
            "artifacts": list(self.artifacts),
            "profile": self.profile,
            "files": {
                path: {"sha256": file.sha256, "size": file.size}
                for path, file in self.files.items()
            },
            "licences": list(self.licences),
            "tool_versions": self.tool_versions,
        }


@dataclass(frozen=True)
class Bundle:
    """A folder whose files were verified.

    Attributes:
        folder: Of the bundle.
        document: What its list says.
        signature: Who vouches for the list, not yet checked against a key; None if nobody does.
    """

    folder: Path
    document: BundleList
    signature: Signature | None = None

    @property
    def name(self) -> str:
        """Id of the release: bundles with the same content have the same."""
        return self.document.digest[:_NAME_DIGITS]

    @property
    def target(self) -> str:
        """Name of the device profile."""
        return self.document.target

    @property
    def profile(self) -> dict[str, Any]:
        """What the board needs to know of the device profile."""
        return self.document.profile

    @property
    def artifacts(self) -> tuple[Path, ...]:
        """Folders of the artifacts, the one that serves first."""
        return tuple(self.folder / name for name in self.document.artifacts)

    def opened(self) -> dict[str, Artifact]:
        """Return the artifacts by the name of their folder; their files were verified already."""
        return {
            folder.name: Artifact(
                folder, Manifest.from_bytes((folder / MANIFEST_NAME).read_bytes(), str(folder))
            )
            for folder in self.artifacts
        }

    @property
    def size_bytes(self) -> int:
        """Size of all files, the list and the signature left out."""
        return sum(file.size for file in self.document.files.values())


def read_bundle(folder: str | Path, *, in_use: bool = False) -> Bundle:
    """Read a bundle and verify every file in it, and every artifact.

    Args:
        folder: Of the bundle.
        in_use: Let the device have left things of its own there: byte code of Python, the folder
            `DEVICE_FOLDER` and a certificate. What was just received has none of these.

    Raises:
        RequestError: There is no such folder.
        IntegrityError: A file is missing, damaged or not listed, an artifact inside is damaged,
            or the bundle is of a format that this version does not know.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise RequestError(f"{folder}: expected a bundle's folder, got {found}; check the path")
    path = folder / BUNDLE_NAME
    if path.is_symlink() or not path.is_file():
        raise _error(path, "the list of a bundle", "no such file")
    content = path.read_bytes()
    listed = BundleList.from_bytes(content, str(path))
    _require_only_listed(folder, listed.files, in_use=in_use)
    for name, expected in listed.files.items():
        _require_file(folder / name, expected)
    for name in listed.artifacts:
        read_artifact(folder / name)
    return Bundle(folder, listed, _signature(folder, content))


def with_files(listed: BundleList, folder: Path) -> BundleList:
    """Return the same list with the files that are in ``folder``.

    Raises:
        IntegrityError: A file has a path that no bundle may have.
    """
    names = sorted(set(_present(folder)) - {BUNDLE_NAME, SIGNATURE_NAME})
    places = Places()
    for name in names:
        fault = places.fault(name)
        if fault is not None:
            raise _error(folder / name, "the path of a file of a bundle", fault)
    files = {
        name: ListedFile(file_sha256(folder / name), (folder / name).stat().st_size)
        for name in names
    }
    return replace(listed, files=files)


def _files(fields: Fields) -> dict[str, ListedFile]:
    inner = fields.inner("files")
    places, files = Places(), {}
    for path in sorted(inner.values):
        fault = places.fault(path)
        if fault is None and path in (BUNDLE_NAME, SIGNATURE_NAME):
            fault = "the list itself"
        if fault is not None:
            raise inner.error(path, "the path of a file of a bundle", fault)
        entry = inner.inner(path)
        files[path] = ListedFile(entry.sha256("sha256"), entry.integer("size", 0))
        entry.end()
    if sum(file.size for file in files.values()) > LIMITS.total_bytes:
        raise fields.error("files", f"at most {LIMITS.total_bytes} bytes", "more")
    return files


def _require_only_listed(folder: Path, files: Mapping[str, object], *, in_use: bool) -> None:
    known = {BUNDLE_NAME, SIGNATURE_NAME, *files}
    for path in _present(folder, skip=_made_here if in_use else None):
        if path not in known:
            raise _error(folder / path, "only files that the bundle lists", "one more")


def _made_here(path: str) -> bool:
    return path in (DEVICE_FOLDER, _CERTIFICATE) or path.rpartition("/")[2] == _BYTE_CODE


def _present(
    folder: Path, prefix: str = "", skip: Callable[[str], bool] | None = None
) -> Iterator[str]:
    """Yield every file, link and empty folder below ``folder``, as paths from it."""
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if not entries and prefix:
        yield prefix[:-1]
    for entry in entries:
        path = prefix + entry.name
        if skip is not None and skip(path):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _present(Path(entry.path), f"{path}/", skip)
        else:
            yield path


def _require_file(path: Path, expected: ListedFile) -> None:
    if path.is_symlink() or not path.is_file():
        raise _error(path, "the file that the bundle lists", "no such file")
    size = path.stat().st_size
    if size != expected.size:
        raise _error(path, f"{expected.size} bytes", str(size))
    found = file_sha256(path)
    if found != expected.sha256:
        raise _error(path, f"sha256 {expected.sha256[:12]}...", f"{found[:12]}...")


def _signature(folder: Path, content: bytes) -> Signature | None:
    path = folder / SIGNATURE_NAME
    if not os.path.lexists(path):
        return None
    if path.is_symlink() or not path.is_file():
        raise _error(path, "the signature of a bundle", "no plain file")
    return Signature.from_bytes(path.read_bytes(), content, str(path))


def _text(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=True)
    return (text + "\n").encode()


def _error(where: object, expected: str, got: str) -> IntegrityError:
    place = str(where)
    place = place if place.isprintable() else ascii(place)[1:-1]  # a name may hold a line end
    return IntegrityError(
        f"{place}: expected {expected}, got {got}; fetch or pack the bundle again"
    )

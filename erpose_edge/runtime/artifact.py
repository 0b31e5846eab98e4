"""An artifact: a folder with the model's files and the manifest that vouches for them.

Nothing is believed that the hashes do not confirm, and a folder holds what its manifest lists and
nothing else.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import IntegrityError, RequestError
from erpose_edge.runtime.files import put_in_place
from erpose_edge.runtime.manifest import MANIFEST_NAME, Manifest
from erpose_edge.runtime.manifest_fields import is_plain_name

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Artifact:
    """A folder whose files were verified, and what its manifest says."""

    folder: Path
    manifest: Manifest

    def file(self, *suffixes: str) -> Path:
        """Return the one file with the first of ``suffixes`` that occurs.

        Raises:
            IntegrityError: The artifact has no such file, or several.
        """
        for suffix in suffixes:
            names = [name for name in self.manifest.files if name.endswith(suffix)]
            if len(names) == 1:
                return self.folder / names[0]
            if names:
                raise _error(self.folder / names[1], f"one file {suffix}", "a second one")
        expected = f"a file {' or '.join(suffixes)}"
        raise _error(self.folder / MANIFEST_NAME, expected, str(sorted(self.manifest.files)))

    @property
    def size_bytes(self) -> int:
        """Return the size of the model's files, the manifest left out."""
        return sum((self.folder / name).stat().st_size for name in self.manifest.files)


def read_artifact(folder: str | Path) -> Artifact:
    """Read an artifact and verify the hash of every file in it.

    Raises:
        RequestError: There is no such folder.
        IntegrityError: The manifest or a file is missing, damaged, not listed, or of a format
            that this version does not know.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise RequestError(f"{folder}: expected an artifact's folder, got {found}; check the path")
    path = folder / MANIFEST_NAME
    if path.is_symlink() or not path.is_file():
        raise _error(path, "the manifest of an artifact", "no such file")
    manifest = Manifest.from_bytes(path.read_bytes(), str(path))
    present = {entry.name for entry in folder.iterdir()} - {MANIFEST_NAME}
    for name in sorted(present - set(manifest.files)):
        raise _error(folder / name, "only files that the manifest lists", "one more")
    for name, expected in manifest.files.items():
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise _error(file, "the file that the manifest lists", "no such file")
        found = file_sha256(file)
        if found != expected:
            raise _error(file, f"sha256 {expected[:12]}...", f"{found[:12]}...")
    return Artifact(folder, manifest)


def write_artifact(
    folder: str | Path, manifest: Manifest, files: Mapping[str, Path | bytes]
) -> Artifact:
    """Write an artifact; one that is there already is replaced when the new one is complete.

    Args:
        folder: Its parent is made if missing.
        manifest: Its ``files`` are filled in here.
        files: Content, or the path of a file to copy, by plain file name.

    Returns:
        The artifact as it was read back.

    Raises:
        RequestError: ``folder`` holds something that is not an artifact.
        IntegrityError: A file name is not plain, or the manifest would not be read back.
    """
    folder = Path(folder)
    for name in files:
        if name == MANIFEST_NAME or not is_plain_name(name):
            raise _error(folder / MANIFEST_NAME, "plain file names without a path", repr(name))
    occupied = folder.exists() and not (folder / MANIFEST_NAME).is_file()
    if folder.is_symlink() or (occupied and (not folder.is_dir() or any(folder.iterdir()))):
        raise RequestError(
            f"{folder}: expected a new folder or an artifact to replace, got something else; "
            "choose another place"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        for name, content in files.items():
            if isinstance(content, bytes):
                (fresh / name).write_bytes(content)
            else:
                shutil.copyfile(content, fresh / name)
        manifest = manifest.with_files({name: file_sha256(fresh / name) for name in files})
        (fresh / MANIFEST_NAME).write_bytes(manifest.to_bytes())
        read_artifact(fresh)
        put_in_place(fresh, folder, Path(scratch) / "old")
    return Artifact(folder, manifest)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _error(path: Path, expected: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: expected {expected}, got {got}; fetch or export the artifact again"
    )

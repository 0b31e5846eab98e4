"""The device's half of this package, as it travels to a board.

An artifact carries it as one archive, from which Python imports as it is; a bundle carries plain
files. With either a board needs numpy, cv2 and the engine, and nothing to install.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import erpose_edge
from erpose_edge.on_device.program import COMMANDS

ARCHIVE_NAME = "runtime.zip"
LAUNCHER = "erpose_runtime/__main__.py"

_TOP = ("__init__.py", "errors.py", "skeleton.py")
_FOLDERS = ("runtime", "machine", "metrics", "validate")
# What draws the pictures of the self-test, and the commands: only in a bundle.
_BUNDLED = ("data/__init__.py", "data/generated", "on_device")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold: no build date in the bytes
_SCRIPT = """\
#!/bin/sh
# {what}
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit 2
exec "${{PYTHON:-python3}}" -B "$here/erpose_runtime/__main__.py" {name} "$@"
"""


def runtime_archive() -> bytes:
    """Return the archive of an artifact; the same sources give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _sources(*_TOP, *_FOLDERS).items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return buffer.getvalue()


def device_files() -> dict[str, bytes]:
    """Return what a bundle carries, by relative path: sources, launcher, a script a command."""
    files = _sources(*_TOP, *_FOLDERS, *_BUNDLED)
    files[LAUNCHER] = (_package() / "on_device" / "launcher.py").read_bytes()
    for name, what in COMMANDS.items():
        files[name] = _SCRIPT.format(name=name, what=what).encode()
    return dict(sorted(files.items()))


def _sources(*parts: str) -> dict[str, bytes]:
    """Return the sources of files and folders of this package by path, in the order given."""
    package = _package()
    found: dict[str, bytes] = {}
    for part in parts:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found[file.relative_to(package.parent).as_posix()] = file.read_bytes()
    return found


def _package() -> Path:
    return Path(erpose_edge.__file__).parent

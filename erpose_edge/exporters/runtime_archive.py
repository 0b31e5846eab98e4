"""The device's half of this package as one archive that travels inside an artifact.

With it a board needs the artifact, numpy, cv2 and the engine, and nothing to install: Python
imports straight from the archive.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import erpose_edge

ARCHIVE_NAME = "runtime.zip"

_TOP = ("__init__.py", "errors.py", "skeleton.py")
_FOLDERS = ("runtime", "metrics", "validate")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold: no build date in the bytes


def runtime_archive() -> bytes:
    """Return the archive; the same sources give the same bytes."""
    package = Path(erpose_edge.__file__).parent
    files = [package / name for name in _TOP]
    files += sorted(path for folder in _FOLDERS for path in (package / folder).rglob("*.py"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            name = path.relative_to(package.parent).as_posix()
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes())
    return buffer.getvalue()

"""What is installed, read from the lists that installers leave: nothing is imported or called.

Ref: deb-control(5); https://packaging.python.org/specifications/recording-installed-packages/.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.machine.sysfs import numbered, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable

_DPKG = "var/lib/dpkg/status"
_FIELD = re.compile(r"^(Package|Status|Version):[ \t]*(.*)$", re.MULTILINE)
# What a board or a workstation imports, and the distributions that bring it.
DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
        "opencv",
    ),
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "ai_edge_litert": ("ai-edge-litert",),
    "tflite_runtime": ("tflite-runtime",),
    "tensorflow": ("tensorflow",),
    "tensorrt": ("tensorrt",),
    "cryptography": ("cryptography",),
}
_SITES = (
    "usr/lib/python3/dist-packages",
    "usr/lib/python3*/dist-packages",
    "usr/local/lib/python3*/dist-packages",
    "usr/local/lib/python3*/site-packages",
)
_METADATA = re.compile(r"^(.+?)-(\d[^-]*)(?:-[^/]*)?\.(?:dist|egg)-info$")
_PYTHON = re.compile(r"python(3\.\d+)$")


def debian_packages(root: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Return version by name of the Debian packages that are installed.

    Args:
        root: Of the file system.
        wanted: Regular expressions of whole names.
    """
    pattern = re.compile("|".join(f"(?:{name})" for name in wanted))
    found: dict[str, str] = {}
    for block in (read_text(root / _DPKG) or "").split("\n\n"):
        name = block[len("Package: ") :].partition("\n")[0].strip()
        if not block.startswith("Package: ") or not pattern.fullmatch(name):
            continue
        fields = dict(_FIELD.findall(block))
        if fields.get("Status", "").endswith(" installed") and fields.get("Version"):
            found[name] = fields["Version"].strip()
    return found


def python_version(root: Path = Path("/")) -> str:
    """Return the version of python3: this one's, or that of another root; empty if unknown."""
    if root == Path("/"):
        return ".".join(map(str, sys.version_info[:3]))
    names = [path.name for path in numbered(root / "usr/bin", "python3.*")]
    found = [match[1] for match in map(_PYTHON.match, names) if match]
    try:
        link = _PYTHON.search((root / "usr/bin/python3").resolve().name)
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        link = None
    return link[1] if link else (found[-1] if found else "")


def python_packages(root: Path = Path("/")) -> dict[str, str]:
    """Return version by import name of those of ``DISTRIBUTIONS`` that this Python can import.

    On this machine the import system is asked, without importing; in another root the lists of
    installed distributions are read. The version is empty where it is not known.
    """
    if root != Path("/"):
        versions = {name: version for name, (version, _) in _distributions(root).items()}
        return _by_import_name(versions)
    found = {}
    for name, distributions in DISTRIBUTIONS.items():
        if importable(name):
            found[name] = next(filter(None, map(_version, distributions)), "")
    return found


def importable(name: str) -> bool:
    """Return whether a top-level package can be found, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # ValueError: a module in sys.modules without a spec
        return False


def opencv_from_pip(root: Path = Path("/")) -> bool:
    """Return whether cv2 is a wheel of the package index, which has no GStreamer in it."""
    wheels = DISTRIBUTIONS["cv2"][:-1]  # the last is what distributions of Linux call theirs
    if root == Path("/"):
        return any(map(_version, wheels))
    found = _distributions(root)
    return any(wheel in found for wheel in wheels)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution) or ""
    except (metadata.PackageNotFoundError, KeyError, OSError, ValueError):  # or damaged
        return ""


def _distributions(root: Path) -> dict[str, tuple[str, Path]]:
    """Return version and folder by name of what is installed in a root's system Python."""
    found: dict[str, tuple[str, Path]] = {}
    for site in _SITES:
        for folder in numbered(root, site):
            for path in numbered(folder, "*-info"):
                match = _METADATA.match(path.name)
                if match:
                    name = re.sub(r"[-_.]+", "-", match[1]).lower()
                    found.setdefault(name, (match[2], path))
    return found


def _by_import_name(versions: dict[str, str]) -> dict[str, str]:
    found = {}
    for name, distributions in DISTRIBUTIONS.items():
        known = [versions[each] for each in distributions if each in versions]
        if known:
            found[name] = known[0]
    return found

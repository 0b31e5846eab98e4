"""Versions of the system, of CUDA and of TensorRT, from files and package lists.

TensorRT is not imported: that takes seconds on a board, and starts CUDA.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.machine.packages import debian_packages
from erpose_edge.machine.sysfs import numbered, read_text
from erpose_edge.machine.versions import parse_version
from erpose_edge.runtime.l4t import RELEASE_FILE, l4t_version

if TYPE_CHECKING:
    from erpose_edge.machine.registry import Registry

_WANTED = (r"libnvinfer\d+", "python3-libnvinfer", r"libcudnn\d.*", r"cuda-cudart-\d.*")
_L4T_PACKAGE = "nvidia-l4t-core"
_HEADERS = ("usr/include", "usr/include/aarch64-linux-gnu", "usr/include/x86_64-linux-gnu")
_MACRO = re.compile(r"^#define\s+NV_TENSORRT_(MAJOR|MINOR|PATCH|BUILD)\s+(\d+)\b", re.MULTILINE)
_UPSTREAM = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)*)")
_OS_NAME = re.compile(r'^PRETTY_NAME="?([^"\n]*)"?$', re.MULTILINE)
_L4T_FORM = re.compile(r"\d+(?:\.\d+){1,3}")


@dataclass(frozen=True)
class Software:
    """What is installed; empty where it is not, or not known.

    Attributes:
        system: Name of the operating system.
        l4t: Jetson Linux, ``36.4.3``.
        jetpack: Release of JetPack, as the registry names it.
        cuda: Version of the newest toolkit or runtime.
        cudnn: Version.
        tensorrt: Version of the library.
        tensorrt_python: Version of its Python package, as installed for the system's Python.
    """

    system: str = ""
    l4t: str = ""
    jetpack: str = ""
    cuda: str = ""
    cudnn: str = ""
    tensorrt: str = ""
    tensorrt_python: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def read_software(
    root: Path = Path("/"), registry: Registry | None = None
) -> tuple[Software, tuple[str, ...]]:
    """Return what is installed, and a line about each file that could not be understood."""
    debian = debian_packages(root, (*_WANTED, _L4T_PACKAGE))
    l4t, notes = _l4t(root, debian)
    release = registry.jetpack_of(l4t) if registry is not None and l4t else None
    system = _OS_NAME.search(read_text(root / "etc/os-release") or "")
    library = _newest(debian, "libnvinfer") or _header_version(root)
    software = Software(
        system=system[1] if system else "",
        l4t=l4t,
        jetpack=release.name if release is not None else "",
        cuda=_cuda(root, debian),
        cudnn=_newest(debian, "libcudnn"),
        tensorrt=library,
        tensorrt_python=_upstream(debian.get("python3-libnvinfer", "")),
    )
    return software, notes


def _l4t(root: Path, debian: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    text = l4t_version(root)
    if text is not None and _L4T_FORM.fullmatch(text):
        return text, ()
    packaged = _upstream(debian.get(_L4T_PACKAGE, ""))
    if text is None:
        return packaged, ()
    note = (
        f"/{RELEASE_FILE}: expected a line like '# R36 (release), REVISION: 4.3', got "
        f"{text[:40]!r}; "
    )
    return packaged, (
        note + (f"took the version of {_L4T_PACKAGE}" if packaged else "L4T is unknown"),
    )


def _cuda(root: Path, debian: dict[str, str]) -> str:
    """Return the newest CUDA: of the toolkits' notes, or of the runtime's package."""
    found = [_toolkit(folder) for folder in numbered(root / "usr/local", "cuda*")]
    found.append(_newest(debian, "cuda-cudart"))
    known = [version for version in found if parse_version(version)]
    return max(known, key=lambda version: parse_version(version) or (), default="")


def _toolkit(folder: Path) -> str:
    try:
        document = json.loads(read_text(folder / "version.json") or "null")
    except (ValueError, RecursionError):
        document = None
    entry = document.get("cuda") if isinstance(document, dict) else None
    version = entry.get("version") if isinstance(entry, dict) else None
    if isinstance(version, str) and parse_version(version):
        return version
    text = read_text(folder / "version.txt") or ""  # until CUDA 11.0
    return _upstream(text.replace("CUDA Version", "").strip())


def _header_version(root: Path) -> str:
    for place in _HEADERS:
        text = read_text(root / place / "NvInferVersion.h") or ""
        parts = dict(_MACRO.findall(text))
        numbers = [parts[name] for name in ("MAJOR", "MINOR", "PATCH", "BUILD") if name in parts]
        if len(numbers) >= 3:
            return ".".join(numbers)
    return ""


def _newest(debian: dict[str, str], beginning: str) -> str:
    versions = [_upstream(v) for name, v in debian.items() if name.startswith(beginning)]
    return max(versions, key=lambda version: parse_version(version) or (), default="")


def _upstream(version: str) -> str:
    """Return a package's version without epoch, revision and what was built for."""
    found = _UPSTREAM.match(version)
    return found[1] if found else ""

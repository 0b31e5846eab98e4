"""Small files of the kernel: one value each, any of which may be absent or refuse to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def read_text(path: Path) -> str | None:
    """Return a file's text without white space and zero bytes around it; None if unreadable."""
    try:
        data = path.read_bytes()
    except OSError:  # absent, no permission, or the sensor behind it is switched off
        return None
    return data.decode("utf-8", "replace").strip().strip("\0").strip()


def read_int(path: Path) -> int | None:
    """Return the whole number in a file; None if unreadable or something else."""
    text = read_text(path)
    return None if text is None else parse_int(text)


def parse_int(text: str | bytes, base: int = 10) -> int | None:
    """Return the whole number that a text is, or None."""
    try:
        return int(text, base)
    except ValueError:
        return None


def numbered(folder: Path, pattern: str) -> list[Path]:
    """Return what matches in a folder, ordered by the numbers in the names: 2 before 10."""
    try:
        found = list(folder.glob(pattern))
    except OSError:  # such as debugfs, which only root may list
        return []
    return sorted(found, key=lambda path: (_number(path.name), path.name))


def _number(name: str) -> int:
    return int("".join(char for char in name if char in "0123456789") or 0)


def unique_name(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken yet: the name itself, or with -2, -3, ... behind it."""
    names = set(taken)
    candidate, count = name, 1
    while candidate in names:
        count += 1
        candidate = f"{name}-{count}"
    return candidate

"""Write files and folders so that nobody ever sees half of one, and nothing is lost on the way."""

from __future__ import annotations

import json
import os
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name beside it and rename it; text is UTF-8."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        scratch.replace(path)
    finally:
        if scratch.exists():
            scratch.unlink()


def write_json(path: Path, document: object) -> None:
    """Write plain values as indented JSON; NaN is refused, as it is not JSON."""
    write_whole(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def put_in_place(fresh: Path, folder: Path, old: Path) -> None:
    """Let a complete folder take the place of another one; if that fails the other one stays.

    Args:
        fresh: The complete one.
        folder: Its place; may hold one already.
        old: Where the former one goes; on the same disk.
    """
    replaced = folder.exists()
    if replaced:
        folder.replace(old)
    try:
        fresh.replace(folder)
    except OSError:
        if replaced:
            old.replace(folder)
        raise

#!/usr/bin/env python3
"""Unpack the tar of a bundle, which somebody else may have made.

There is one way to write such a tar (`header`: ustar, plain files, fixed owner, date and mode), and
what was not written so is refused, byte by byte. So nothing of the many ways of a tar to name a
place, a link, a device or a size is ever interpreted. Files go to a fresh folder beside the
destination, which takes its name when the last byte was right.

This file imports nothing but the standard library and is a program as well:

    python3 safe_tar.py ARCHIVE DESTINATION [--sha256 HEX] [--max-bytes N]

Exit codes: 0 unpacked, 2 mistake in the request, 6 the archive is damaged or not one to be trusted.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

EXECUTABLE = ("benchmark", "build", "doctor", "run", "selftest", "verify")
BLOCK = 512
END = bytes(2 * BLOCK)

_MAGIC = b"ustar\x0000"
_DATE = 315_532_800  # 1980-01-01: no build date in the bytes
_PLAIN_FILE = b"0"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@-]{0,99}")
_OCTAL_SIZE = re.compile(rb"[0-7]{11}\x00")
_DEPTH = 12  # folders in folders
_PATH = 150  # characters: a header has room for any such path, wherever its / are
_COPY = 1 << 16
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "an entry for a folder",
    b"6": "a fifo",
    b"7": "a contiguous file",
    b"S": "a sparse file",
    b"L": "a GNU long name",
    b"K": "a GNU long link",
    b"x": "a pax header",
    b"g": "a global pax header",
}


class UnsafeArchiveError(ValueError):
    """The archive is not one that this project packs, or not whole; the text is one line."""


class Limits(NamedTuple):
    """What an archive may ask of a disk.

    Attributes:
        files: At most so many.
        file_bytes: Of one file.
        total_bytes: Of all files.
    """

    files: int = 4096
    file_bytes: int = 1 << 30
    total_bytes: int = 2 << 30


LIMITS = Limits()


def path_fault(path: str) -> str | None:
    """Say what keeps ``path`` from being the place of a bundle's file; None if nothing.

    A place is relative, with ``/`` between plain ASCII names, so that it means the same on every
    system and cannot leave its folder.
    """
    if len(path) > _PATH:
        return f"a path of {len(path)} characters"
    names = path.split("/")
    if len(names) > _DEPTH:
        return f"{len(names)} folders in folders"
    for name in names:
        if not _NAME.fullmatch(name) or name.endswith("."):
            return "a path that is not of plain names"
    return None


class Places:
    """Places taken so far: none twice, also where a disk takes upper and lower case for one."""

    def __init__(self) -> None:
        self._spelling: dict[str, str] = {}
        self._files: set[str] = set()

    def fault(self, path: str) -> str | None:
        """Take ``path`` for a file; say why that cannot be, None if it can."""
        fault = path_fault(path)
        if fault is not None:
            return fault
        names = path.split("/")
        whole = path.lower()
        if whole in self._spelling and whole not in self._files:
            return "the path of a folder"
        for count in range(1, len(names) + 1):
            part = "/".join(names[:count])
            if self._spelling.setdefault(part.lower(), part) != part:
                return f"a path like {self._spelling[part.lower()]}, but for its case"
            if part.lower() in self._files:
                return "the path of another file" if part == path else "a file for a folder"
        self._files.add(whole)
        return None


def mode_of(path: str) -> int:
    """Return the permissions of a bundle's file by its name: of a program, or of data."""
    return 0o755 if path in EXECUTABLE or path.endswith(".sh") else 0o644


def header(path: str, size: int) -> bytes:
    """Return the one header that a file of a bundle has in a tar.

    Raises:
        ValueError: The path or the size has no place in it.
    """
    name, prefix = path, ""
    if len(name) > 100:
        at = path.find("/", len(path) - 101)
        prefix, name = (path[:at], path[at + 1 :]) if at > 0 else ("", path)
    if len(name) > 100 or len(prefix) > 155 or not 0 <= size < 8**11:
        raise ValueError(f"{path}: expected a path and a size that a tar has room for")
    fields = (
        name.encode("ascii").ljust(100, b"\x00"),
        b"%07o\x00" % mode_of(path),
        b"%07o\x00" % 0,  # owner
        b"%07o\x00" % 0,  # group
        b"%011o\x00" % size,
        b"%011o\x00" % _DATE,
        b" " * 8,  # the checksum, which counts as blanks
        _PLAIN_FILE,
        bytes(100),
        _MAGIC,
        bytes(32 + 32 + 8 + 8),
        prefix.encode("ascii").ljust(155, b"\x00"),
        bytes(12),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\x00 " % sum(block) + block[156:]


def unpack_tar(stream: BinaryIO, folder: Path, limits: Limits = LIMITS) -> int:
    """Unpack a tar into a new folder and return how many files it holds.

    Args:
        stream: Of the tar; it is read once, in order, to its end.
        folder: Must not exist; its parent must. Until everything is right it does not exist.
        limits: What the archive may hold.

    Raises:
        FileExistsError: There is something at ``folder``.
        UnsafeArchiveError: It is not a whole tar as `header` and this module describe it, or it
            exceeds the limits. Nothing is left behind.
        OSError: The disk is full, or not to be written to. Nothing is left behind.
    """
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder}: expected a new folder, got one that exists")
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        fresh = scratch / "new"
        fresh.mkdir()
        count = _Unpacking(stream, fresh, limits).run()
        for place in (fresh, *(p for p in fresh.rglob("*") if p.is_dir())):
            place.chmod(0o755)
        if os.path.lexists(folder):  # a rename would replace an empty folder
            raise FileExistsError(f"{folder}: expected a new folder, got one that exists")
        fresh.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return count


class _Unpacking:
    """One pass over a tar; ``folder`` is empty and nobody else writes there."""

    def __init__(self, stream: BinaryIO, folder: Path, limits: Limits) -> None:
        self._stream = stream
        self._folder = folder
        self._limits = limits
        self._places = Places()
        self._count = 0
        self._left = limits.total_bytes

    def run(self) -> int:
        while True:
            block = self._take(BLOCK)
            if not any(block):
                break
            self._unpack_file(block)
        if self._take(BLOCK) != bytes(BLOCK):
            raise _unsafe(self._where(), "two empty blocks at the end", "one")
        if self._stream.read(1):
            raise _unsafe(self._where(), "nothing after the end", "more bytes")
        return self._count

    def _unpack_file(self, block: bytes) -> None:
        where, limits = self._where(), self._limits
        path, size = _entry(block, where)
        fault = self._places.fault(path)
        if fault is not None:
            raise _unsafe(f"{where} {_shown(path)}", "the path of a file of a bundle", fault)
        for what, got, most in (
            ("files", self._count + 1, limits.files),
            ("bytes", size, limits.file_bytes),
            ("bytes in all", limits.total_bytes - self._left + size, limits.total_bytes),
        ):
            if got > most:
                raise _unsafe(f"{where} {path}", f"at most {most} {what}", str(got))
        if block != header(path, size):
            raise _unsafe(f"{where} {path}", "the header that erpose-edge writes", "another")
        self._left -= size
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            remaining = size
            while remaining:
                content = self._take(min(_COPY, remaining))
                file.write(content)
                remaining -= len(content)
        target.chmod(mode_of(path))
        if any(self._take(-size % BLOCK)):
            raise _unsafe(f"{where} {path}", "zeros up to the next block", "other bytes")
        self._count += 1

    def _take(self, count: int) -> bytes:
        """Read exactly so many bytes: a stream may give fewer at a time."""
        parts = []
        while count:
            part = self._stream.read(count)
            if not part:
                raise _unsafe(self._where(), "a whole archive", "one that is cut short")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _where(self) -> str:
        return f"file {self._count + 1}"


def _entry(block: bytes, where: str) -> tuple[str, int]:
    """Return path and size of a header, as far as they can be read; `header` proves the rest."""
    if block[257:265] != _MAGIC:
        raise _unsafe(where, "the header of a tar (ustar)", "other bytes")
    kind = block[156:157]
    if kind != _PLAIN_FILE:
        got = _KINDS.get(kind, f"an entry of kind {kind!r}")
        raise _unsafe(where, "a plain file", got)
    if not _OCTAL_SIZE.fullmatch(block[124:136]):
        raise _unsafe(where, "a size in octal digits", "other bytes")
    name, prefix = (block[a:b].rstrip(b"\x00").decode("latin-1") for a, b in ((0, 100), (345, 500)))
    return (f"{prefix}/{name}" if prefix else name), int(block[124:135], 8)


def _unsafe(where: str, expected: str, got: str) -> UnsafeArchiveError:
    return UnsafeArchiveError(
        f"{where}: expected {expected}, got {got}; fetch or pack the bundle again"
    )


def _shown(path: str) -> str:
    shown = ascii(path)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def main(arguments: Sequence[str] | None = None) -> int:
    """Unpack the archive that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description="Unpack the tar of a bundle.")
    parser.add_argument("archive", type=Path)
    parser.add_argument("destination", type=Path, help="new folder")
    parser.add_argument("--sha256", help="of the archive; another is refused")
    parser.add_argument("--max-bytes", type=int, default=LIMITS.total_bytes, help="of all files")
    options = parser.parse_args(arguments)
    try:
        with options.archive.open("rb") as stream:
            _require_sha256(stream, options.sha256)
            limits = LIMITS._replace(total_bytes=options.max_bytes)
            unpack_tar(stream, options.destination.absolute(), limits)
    except UnsafeArchiveError as error:
        return _failed(f"{options.archive}: {error}", 6)
    except OSError as error:
        return _failed(str(error) or type(error).__name__, 2)
    os.sync()  # a board may lose its power at any moment
    return 0


def _require_sha256(stream: BinaryIO, expected: str | None) -> None:
    if expected is None:
        return
    digest = hashlib.sha256()
    for content in iter(lambda: stream.read(_COPY), b""):
        digest.update(content)
    if digest.hexdigest() != expected.lower():
        raise _unsafe("sha256", expected, digest.hexdigest())
    stream.seek(0)


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return code


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):  # so that nothing is left behind
        signal.signal(ending, _end)
    sys.exit(main())

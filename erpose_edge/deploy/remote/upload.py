"""Send the archive of a bundle by SFTP, going on where a cut-off upload ended."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from erpose_edge.deploy.remote.session import Board
from erpose_edge.errors import IntegrityError, TargetError

BLOCK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """The tar to send.

    Attributes:
        path: Of the file.
        sha256: In hex.
        size: In bytes.
    """

    path: Path
    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> Archive:
        """Read the file once."""
        summed = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                summed.update(block)
            return cls(path, summed.hexdigest(), file.tell())


@dataclass(frozen=True)
class Uploaded:
    """Bytes that were sent, and that were there before."""

    sent: int
    resumed: int


Advance = Callable[[int, int, str], None]


async def upload(
    board: Board, sftp: asyncssh.SFTPClient, archive: Archive, advance: Advance
) -> Uploaded:
    """Bring the archive to ``incoming/<sha256>.tar.part`` and verify it there.

    Args:
        board: Whose ``incoming`` exists and is locked.
        sftp: Of the same connection.
        archive: What to send.
        advance: Called with bytes there, bytes in all, and rate and time left in words.

    Raises:
        TargetError: The connection was cut, or the board cannot write; the bytes that are there
            stay for the next upload.
        IntegrityError: What arrives is twice not what was sent.
    """
    part = f"{board.root}/incoming/{archive.sha256}.tar.part"
    first = await _send(board, sftp, archive, part, advance)
    if await _arrived(board, archive):
        return first
    # A disk that lost its last writes, or holes of a cut connection: once more from the start.
    await sftp.remove(part)
    again = await _send(board, sftp, archive, part, advance)
    if await _arrived(board, archive):
        return Uploaded(first.sent + again.sent, 0)
    await sftp.remove(part)
    raise IntegrityError(
        f"{board.label}: expected the archive to arrive as {archive.sha256}, got other bytes "
        "twice; check the disk and the memory of the board"
    )


async def _arrived(board: Board, archive: Archive) -> bool:
    digest = await board.operate("digest", archive.sha256)
    return bool(digest["sha256"] == archive.sha256)


async def _send(
    board: Board, sftp: asyncssh.SFTPClient, archive: Archive, part: str, advance: Advance
) -> Uploaded:
    offset = await _resume_at(sftp, archive, part)
    clock = _Clock(offset, archive.size)
    advance(offset, archive.size, "")
    done = offset
    try:
        async with sftp.open(part, "r+b" if offset else "wb") as remote:
            with archive.path.open("rb") as local:
                local.seek(offset)
                while block := local.read(BLOCK):
                    await remote.write(block, done)
                    done += len(block)
                    advance(done, archive.size, clock.words(done))
    except asyncssh.SFTPError as error:
        if isinstance(error, (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)):
            raise
        raise await _not_written(board, archive, done, error) from error
    return Uploaded(done - offset, offset)


async def _resume_at(sftp: asyncssh.SFTPClient, archive: Archive, part: str) -> int:
    """Return where to go on: the last block is sent again, as its parts go in parallel."""
    try:
        size = (await sftp.stat(part)).size or 0
    except asyncssh.SFTPNoSuchFile:
        return 0
    if size == archive.size:
        return size
    return max(0, (size // BLOCK - 1) * BLOCK) if size < archive.size else 0


async def _not_written(
    board: Board, archive: Archive, done: int, error: asyncssh.SFTPError
) -> TargetError:
    # SFTP's own answer is `Failure`; the board's system knows the reason.
    found = await board.operate("why", archive.sha256)
    reason = found["error"] or str(error.reason) or type(error).__name__
    free = found["free_bytes"] / 1e6
    return TargetError(
        f"{board.label}: expected to write {archive.size / 1e6:.1f} MB to {board.root}/incoming, "
        f"got {reason!r} after {done / 1e6:.1f} MB ({free:.1f} MB free); make room there, for "
        "example with --keep 1, and push again: the upload goes on from there"
    )


class _Clock:
    """Rate and time left of an upload, in words."""

    def __init__(self, offset: int, total: int) -> None:
        self._begin = time.monotonic()
        self._offset = offset
        self._total = total

    def words(self, done: int) -> str:
        seconds = max(time.monotonic() - self._begin, 1e-6)
        rate = max(done - self._offset, 1) / seconds
        return f"{rate / 1e6:.1f} MB/s, {(self._total - done) / rate:.0f} s left"

"""Run commands on the board over one connection.

A remote command is a list of words that is fixed here or checked before, joined by ``shlex.join``;
no text of a configuration or of the board ever becomes part of a shell's line unquoted.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh

from erpose_edge.deploy.remote import board as board_program
from erpose_edge.errors import TargetError

_PROGRAM = Path(board_program.__file__).read_text(encoding="utf-8")
_HEARTBEAT_S = 10.0  # board_program.SILENCE_S is several of them
_OUTPUT_CHARACTERS = 32 << 20  # a certificate has some thousand
_LINES_KEPT = 20


class Finished(NamedTuple):
    """A command that has ended: its exit code, stdout, and the last lines of stderr."""

    code: int
    output: str
    errors: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The line that says what went wrong; without ``error:``."""
        said = [line for line in self.errors if line.startswith("error:")] or [*self.errors]
        return said[-1].removeprefix("error:").strip() if said else f"exit code {self.code}"


class Board:
    """The other end of a connection."""

    def __init__(self, connection: asyncssh.SSHClientConnection, label: str, root: str) -> None:
        """Wrap ``connection``; ``root`` is the checked folder of the releases."""
        self.connection = connection
        self.label = label
        self.root = root
        self._token = ""

    async def execute(
        self, words: Sequence[str], on_line: Callable[[str], None] | None = None
    ) -> Finished:
        """Run a command to its end.

        Args:
            words: Program and arguments.
            on_line: Called with each line of stderr, without control characters.

        Raises:
            TargetError: The connection was lost, or the command says more than it may.
        """
        process = await self._start(words)
        kept: list[str] = []

        def line(text: str) -> None:
            kept.append(text)
            del kept[:-_LINES_KEPT]
            if on_line is not None:
                on_line(text)

        lines = asyncio.create_task(_read_lines(process, line))
        beats = asyncio.create_task(_beat(process))
        try:
            output = await self._read_output(process)
            await lines
            await process.wait_closed()
        finally:
            lines.cancel()
            beats.cancel()
            process.close()
        if process.returncode is None:
            raise asyncssh.ConnectionLost("Connection lost")
        return Finished(process.returncode, output, tuple(kept))

    async def _start(self, words: Sequence[str]) -> asyncssh.SSHClientProcess[str]:
        return await self.connection.create_process(
            shlex.join(words), encoding="utf-8", errors="replace", request_pty=False
        )

    async def _read_output(self, process: asyncssh.SSHClientProcess[str]) -> str:
        parts, count = [], 0
        while part := await process.stdout.read(1 << 16):
            parts.append(part)
            count += len(part)
            if count > _OUTPUT_CHARACTERS:
                raise TargetError(
                    f"{self.label}: expected at most {_OUTPUT_CHARACTERS} characters of output, "
                    "got more; look at the command there"
                )
        return "".join(parts)

    async def operate(
        self,
        operation: str,
        *arguments: str,
        on_line: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """Do one operation of ``board.py`` and return its document.

        Raises:
            TargetError: The board refuses, or the connection was lost.
        """
        finished = await self.execute(self._words(operation, *arguments), on_line)
        if finished.code:
            raise TargetError(
                f"{self.label}: expected to {operation} in {self.root}, got: {finished.reason}; "
                "mend that on the board and push again"
            )
        return self.document(operation, finished.output)

    async def operate_locked(
        self, operation: str, *arguments: str, on_line: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        """As `operate`, for what needs the lock that `locked` holds."""
        return await self.operate(operation, self._token, *arguments, on_line=on_line)

    async def run_release(
        self, name: str, words: Sequence[str], on_line: Callable[[str], None]
    ) -> Finished:
        """Run ``python3 -m erpose_runtime`` with these words in a release."""
        return await self.execute(self._words("run", self._token, name, *words), on_line)

    def _words(self, operation: str, *arguments: str) -> list[str]:
        return ["python3", "-c", _PROGRAM, operation, self.root, *arguments]

    def document(self, what: str, output: str) -> dict[str, Any]:
        """Return the JSON object that a command printed.

        Raises:
            TargetError: It printed something else.
        """
        try:
            document = json.loads(output)
        except ValueError as error:
            raise TargetError(
                f"{self.label}: {what}: expected one JSON document, got {output[:60]!r}; does a "
                "start file of the login's shell print something?"
            ) from error
        if not isinstance(document, dict):
            raise TargetError(f"{self.label}: {what}: expected a JSON object, got {output[:60]!r}")
        return document

    @asynccontextmanager
    async def locked(self, token: str, holder: str) -> AsyncIterator[str | None]:
        """Keep other pushes to this folder out; yield who left it without finishing, if so.

        The lock is a process on the board, which ends with this connection.

        Raises:
            TargetError: Another push is at work there.
        """
        process = await self._start(self._words("lock", token, holder))
        beats = asyncio.create_task(_beat(process))
        try:
            first = await process.stdout.readline()
            if not first:
                refused = Finished(1, "", tuple((await process.stderr.read()).splitlines()))
                raise TargetError(
                    f"{self.label}: expected to lock {self.root}, got: {_plain(refused.reason)}; "
                    "wait for it, or end it there"
                )
            answer = self.document("lock", first)
            if not answer.get("locked"):
                raise TargetError(
                    f"{self.label}: expected nobody else to push to {self.root}, got a push of "
                    f"{_plain(str(answer.get('holder')))}; wait until it ends"
                )
            self._token = token
            left = answer.get("left")
            yield None if left is None else _plain(str(left))
            process.stdin.write("done\n")
            process.stdin.write_eof()
            await process.wait_closed()
        finally:
            beats.cancel()
            process.close()


async def _read_lines(
    process: asyncssh.SSHClientProcess[str], on_line: Callable[[str], None]
) -> None:
    async for line in process.stderr:
        if text := _plain(line).strip():
            on_line(text)


async def _beat(process: asyncssh.SSHClientProcess[str]) -> None:
    # Commands there end when nothing comes: a workstation may vanish without closing anything.
    with suppress(BrokenPipeError, asyncssh.Error):
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            process.stdin.write("\n")


def _plain(text: str) -> str:
    """Return ``text`` without control characters: a board must not steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)

"""Push one bundle to one host, or roll it back.

Whatever ends a push early, the release that served goes on serving: a new one gets its name when it
is whole, and ``current`` points to it when it was built and has passed its self-test there.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import secrets
import socket
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh

from erpose_edge.deploy.remote.checks import Needs, architectures, check_board
from erpose_edge.deploy.remote.connect import connected
from erpose_edge.deploy.remote.hosts import HostOptions
from erpose_edge.deploy.remote.results import Event, PushOptions, PushResult, Report, Status
from erpose_edge.deploy.remote.session import Board, Finished
from erpose_edge.deploy.remote.upload import Archive, Uploaded, upload
from erpose_edge.errors import (
    EXIT_ACCURACY,
    EXIT_INTEGRITY,
    EXIT_LATENCY,
    EXIT_PASS,
    EXIT_REQUEST,
    EXIT_TARGET,
    RequestError,
    TargetError,
)
from erpose_edge.runtime import safe_tar
from erpose_edge.runtime.bundle import Bundle

_OF_A_COMMAND = (EXIT_REQUEST, EXIT_ACCURACY, EXIT_LATENCY, EXIT_TARGET, EXIT_INTEGRITY)
_WITH_CERTIFICATE = (EXIT_PASS, EXIT_ACCURACY, EXIT_LATENCY)


async def push_release(
    host: HostOptions, archive: Path, bundle: Bundle, options: PushOptions, report: Report
) -> PushResult:
    """Check the board, upload, build, self-test, benchmark, and let the release serve.

    Args:
        host: Where to.
        archive: Plain tar of ``bundle``.
        bundle: What is inside.
        options: How.
        report: Called with each step.

    Raises:
        RequestError: Keys, ssh's configuration or the archive cannot be used.
        TargetError: The host cannot be reached or trusted, cannot serve the bundle, or the
            connection was cut; pushing again goes on.
        IntegrityError: The archive arrives damaged.
    """
    if archive.suffix != ".tar":
        raise RequestError(
            f"{archive}: expected a plain .tar, got {archive.name!r}; pack the bundle as .tar, as "
            "boards have no zstandard"
        )
    try:
        tar = await asyncio.to_thread(Archive.of, archive)
    except OSError as error:
        raise RequestError(
            f"{archive}: expected the archive of a bundle, got {error.strerror}; pack it again"
        ) from error
    push = _Push(host, bundle.target, options, report)
    return await push.guarded(push.push(tar, bundle))


async def rollback(
    host: HostOptions, target: str, options: PushOptions, report: Report
) -> PushResult:
    """Let the release serve again that served before the one that serves.

    Raises:
        RequestError: Keys or ssh's configuration cannot be used.
        TargetError: The host cannot be reached or trusted, or has no earlier release.
    """
    push = _Push(host, target, options, report)
    return await push.guarded(push.roll_back())


class _Push:
    """One push or rollback; knows how far it is."""

    def __init__(
        self, host: HostOptions, target: str, options: PushOptions, report: Report
    ) -> None:
        self._host = host
        self._label = host.label
        self._root = host.root(target)
        self._options = options
        self._report = report
        self._phase = "connect"
        self._result = PushResult(self._label, "failed", EXIT_TARGET)

    async def guarded(self, work: Coroutine[Any, Any, None]) -> PushResult:
        """Do ``work``; give what ends it early its one line."""
        self._enter("connect")
        limit_s = self._options.timeout_s
        try:
            await asyncio.wait_for(work, limit_s)
        except (asyncio.TimeoutError, TimeoutError) as error:
            self._ended_early(error, f"an end within {limit_s:g} s" if limit_s else "an answer")
        except (asyncssh.Error, OSError) as error:
            self._ended_early(error, "the connection to last")
        return self._result

    def _ended_early(self, error: Exception, expected: str) -> None:
        reason = str(error) or type(error).__name__
        if self._result.status != "failed":  # all is done but for the tidying
            self._note(f"afterwards: {reason}")
            return
        raise TargetError(
            f"{self._label}: {self._phase}: expected {expected}, got {reason}; what served there "
            "still does: push again, which goes on from here"
        ) from error

    async def push(self, tar: Archive, bundle: Bundle) -> None:
        profile = bundle.document.profile
        needs = Needs(architectures(profile), profile["engine"], tar.sha256, tar.size)
        async with connected(self._host) as connection:
            board = Board(connection, self._label, self._root)
            self._enter("check")
            await check_board(board, needs)
            async with board.locked(secrets.token_hex(16), _holder()) as left:
                if left is not None:
                    self._say(f"took over from a push of {left}, which ended before it was done")
                name = await self._bring(board, tar, bundle)
                if await self._try(board, name):
                    await self._serve(board, name)

    async def roll_back(self) -> None:
        async with connected(self._host) as connection:
            board = Board(connection, self._label, self._root)
            async with board.locked(secrets.token_hex(16), _holder()):
                self._enter("switch")
                found = await board.operate_locked("rollback")
                passed = ", ".join(found["passed"])
                self._result = PushResult(
                    self._label,
                    "rolled back",
                    reason=f"passed over, as damaged: {passed}" if passed else None,
                    release=found["current"],
                    previous=found["previous"],
                )

    async def _bring(self, board: Board, tar: Archive, bundle: Bundle) -> str:
        """Return the folder of the whole release, after an upload if it is not there yet."""
        self._enter("upload")
        there = await board.operate_locked("prepare", bundle.name)
        name: str = there["name"]
        self._result = replace(self._result, release=there["current"])
        if there["whole"]:
            self._say(f"release {name} is there and whole")
            return name
        async with board.connection.start_sftp_client() as sftp:
            incoming = f"{self._root}/incoming"
            program = Path(safe_tar.__file__).read_bytes()
            await _write(sftp, program, f"{incoming}/safe_tar.py", incoming)
            uploaded = await upload(board, sftp, tar, self._advance)
        self._count(uploaded)
        self._enter("unpack")
        await board.operate_locked("unpack", tar.sha256, name, on_line=self._say)
        return name

    async def _try(self, board: Board, name: str) -> bool:
        """Build, self-test and benchmark the release; say whether it may serve."""
        for command in ("build", "selftest"):
            self._enter(command)
            finished = await board.run_release(name, [command, "--json"], self._say)
            if finished.code:
                self._failed(command, finished)
                return False
        self._enter("benchmark")
        words = ["benchmark", "--json", *self._options.benchmark]
        finished = await board.run_release(name, words, self._say)
        if not _has_certificate(finished):
            self._failed("benchmark", finished)
            return False
        certificate = board.document("benchmark", finished.output)
        incoming = f"{self._root}/incoming"
        async with board.connection.start_sftp_client() as sftp:
            content = finished.output.encode()  # as it was printed: it may be sealed
            place = f"{self._root}/releases/{name}/certificate.json"
            await _write(sftp, content, place, incoming)
        self._result = replace(self._result, certificate=certificate)
        return self._judge(certificate)

    def _judge(self, certificate: dict[str, Any]) -> bool:
        verdict = certificate.get("verdict")
        if not isinstance(verdict, dict) or not isinstance(verdict.get("exit_code"), int):
            raise TargetError(
                f"{self._label}: benchmark: expected a certificate with a verdict, got "
                f"{str(verdict)[:60]!r}; look at certificate.json of the release there"
            )
        code = verdict["exit_code"]
        reasons = "; ".join(str(reason) for reason in verdict.get("reasons", [])) or None
        if code == EXIT_LATENCY and self._options.accept_slow:
            self._result = replace(self._result, reason=f"accepted although {reasons}")
            return True
        if code == EXIT_PASS:
            return True
        self._result = replace(self._result, status="kept", exit_code=code, reason=reasons)
        return False

    def _failed(self, command: str, finished: Finished) -> None:
        code = finished.code if finished.code in _OF_A_COMMAND else EXIT_TARGET
        status: Status = "kept" if code in (EXIT_ACCURACY, EXIT_LATENCY) else "failed"
        reason = f"{command}: {_missed_poses(finished) or finished.reason}"
        self._result = replace(self._result, status=status, exit_code=code, reason=reason)

    async def _serve(self, board: Board, name: str) -> None:
        self._enter("switch")
        switched = await board.operate_locked("switch", name)
        self._result = replace(
            self._result,
            status="served",
            exit_code=EXIT_PASS,
            release=name,
            previous=switched["previous"],
        )
        try:
            pruned = await board.operate_locked("prune", str(self._options.keep))
        except TargetError as error:
            self._note(f"afterwards: {error}")
            return
        if pruned["removed"]:
            self._say(f"removed {', '.join(pruned['removed'])}")

    def _note(self, text: str) -> None:
        before = self._result.reason
        self._result = replace(self._result, reason=f"{before}; {text}" if before else text)

    def _count(self, uploaded: Uploaded) -> None:
        self._result = replace(
            self._result, uploaded_bytes=uploaded.sent, resumed_bytes=uploaded.resumed
        )

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._report(Event(self._label, phase))

    def _say(self, text: str) -> None:
        self._report(Event(self._label, self._phase, text))

    def _advance(self, done: int, total: int, words: str) -> None:
        self._report(Event(self._label, self._phase, words, done, total))


def _missed_poses(finished: Finished) -> str | None:
    """Return what a failed self-test says of itself: it prints its misses, and no error."""
    try:
        document = json.loads(finished.output)
        return f"{len(document['misses'])} poses of {document['pictures']} pictures are not found"
    except (ValueError, TypeError, KeyError):
        return None


def _has_certificate(finished: Finished) -> bool:
    """Say whether ``benchmark`` came to a verdict: 5 is one, too, on where int8 layers ran."""
    refused = finished.code == EXIT_TARGET and finished.output.lstrip().startswith("{")
    return refused or finished.code in _WITH_CERTIFICATE


async def _write(sftp: asyncssh.SFTPClient, content: bytes, path: str, incoming: str) -> None:
    """Write a file under another name and rename it; nothing strange is left in a release."""
    making = f"{incoming}/.{path.rsplit('/', 1)[-1]}.part"
    async with sftp.open(making, "wb") as file:
        await file.write(content)
    await sftp.posix_rename(making, path)


def _holder() -> str:
    began = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()}, since {began})"

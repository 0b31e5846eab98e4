"""Run the builder in a process of its own, follow it, and say in one line what ended it.

The system ends whoever takes too much memory, and on boards with 4 GB a builder does. So it is not
this process, and its end is an error that says what helps.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import erpose_edge
from erpose_edge.errors import TargetError
from erpose_edge.runtime.tensorrt.builder import REFUSED, BuildJob

if TYPE_CHECKING:
    from collections.abc import Callable

HEARTBEAT_S = 10.0
_MB = 1 << 20
_MORE_MEMORY = (
    "close programs, boot without the desktop, add swap, or give a smaller --workspace-mb than "
)
_BUILDER = "erpose_edge.runtime.tensorrt.builder"


def say(line: str) -> None:
    """Write a line for the user: to standard error, because results go to standard output."""
    sys.stderr.write(f"{line}\n")


def run_builder(
    job: BuildJob,
    log: Path,
    tell: Callable[[str], None] = say,
    heartbeat_s: float | None = None,
) -> None:
    """Run a job in a process of its own.

    Args:
        job: What to build.
        log: File for all that the process says; replaced.
        tell: Takes a line whenever ``heartbeat_s`` have passed.
        heartbeat_s: `HEARTBEAT_S` by default.

    Raises:
        TargetError: The process was killed, failed, or TensorRT refused.
    """
    started = time.monotonic()
    reading, writing = os.pipe()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", _BUILDER],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            env={**os.environ, "PYTHONPATH": _python_path()},
        )
    os.close(writing)
    try:
        said = _follow(process, replace(job, report=writing), reading, tell, started, heartbeat_s)
        status = process.wait()
    finally:
        os.close(reading)
        process.kill()  # an interrupted build must not go on; nothing happens to one that ended
        process.wait()
        if process.stdin:
            process.stdin.close()
    if status:
        raise _failure(status, said, job, log)


def _follow(
    process: subprocess.Popen[bytes],
    job: BuildJob,
    reading: int,
    tell: Callable[[str], None],
    started: float,
    heartbeat_s: float | None,
) -> dict[str, Any]:
    """Hand over the job and read reports until there are no more; return the last one."""
    interval = HEARTBEAT_S if heartbeat_s is None else heartbeat_s
    said: dict[str, Any] = {}
    try:
        if process.stdin:
            process.stdin.write(job.to_line())
            process.stdin.flush()
    except BrokenPipeError:
        return said  # it ended at once; its log says why
    pending, due = b"", started + interval
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, due - time.monotonic()))
        if ready:
            more = os.read(reading, 1 << 16)
            if not more:
                return said
            *lines, pending = (pending + more).split(b"\n")
            for line in lines:
                said = json.loads(line)
        if time.monotonic() >= due:
            due = time.monotonic() + interval
            where = f", {said['phase']} {said['done']}/{said['of']}" if "phase" in said else ""
            tell(f"building for {time.monotonic() - started:.0f} s{where}")


def _failure(status: int, said: dict[str, Any], job: BuildJob, log: Path) -> TargetError:
    """Return one line for a process that ended with ``status``."""
    memory = f"{_MORE_MEMORY}{job.workspace_bytes // _MB}, then try again; log: {log}"
    where = f" in phase {said['phase']!r}" if "phase" in said else ""
    if status == REFUSED and "failed" in said:
        if said["memory"]:
            return TargetError(f"{said['failed']}; {memory}")
        return TargetError(f"{said['failed']}: {log}")
    if status == -signal.SIGKILL:
        got = f"the process killed{where}, as the system does when memory runs out"
        return TargetError(f"{job.onnx}: expected its engine, got {got}; {memory}")
    name = signal.Signals(-status).name if status < 0 else f"exit code {status}"
    return TargetError(
        f"{job.onnx}: expected its engine, got {name} from the building process{where}: "
        f"{_last_line(log)!r}; read the log: {log}"
    )


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _python_path() -> str:
    """Return where this package was found, an archive possibly, before the user's own path."""
    own = str(Path(erpose_edge.__file__).parent.parent)
    return os.pathsep.join([own, *filter(None, [os.environ.get("PYTHONPATH")])])

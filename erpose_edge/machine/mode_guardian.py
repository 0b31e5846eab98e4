"""Changes the power mode, waits, and changes it back: a process of its own, which outlives a kill.

`erpose_edge.machine.mode_change` starts this file by itself; it imports nothing of the package. One
process does both changes, so that they can never overtake each other. Only the loss of power, or
SIGKILL to this very process, leaves the mode changed.

Arguments: path of nvpmodel, number to set, number to restore, file with the status.
It writes one JSON document a line: after setting, and after restoring, which it does as soon as its
standard input ends or the process that started it is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_TIMEOUT_S = 60.0  # of nvpmodel
_SETTLE_S = 10.0  # until the status names the new mode
_LOOK_S = 1.0  # how often to see whether the starter lives: a fork of it may hold the pipe open
_NOT_RUN = 127


def main(nvpmodel: str, wanted: int, former: int, status: Path) -> int:
    """Set a mode, wait, restore the former one; return the exit code."""
    starter = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _tell(_change(nvpmodel, wanted, status))
    _wait_for_end(starter)
    report = {"mode": former, "code": 0, "output": ""}
    if _current(status) != former:
        report = _change(nvpmodel, former, status)
    _tell(report)
    restored = report["mode"] == former
    if os.getppid() != starter:
        word = "restored" if restored else f"NOT restored, run: sudo nvpmodel -m {former}"
        with contextlib.suppress(OSError):
            os.write(2, f"power mode {former}: {word}\n".encode())
    return 0 if restored else 1


def _change(nvpmodel: str, mode: int, status: Path) -> dict[str, object]:
    code, output = _run([nvpmodel, "-m", str(mode)])
    refused = code != 0 or "reboot" in output.lower()
    due = time.monotonic() + (0.0 if refused else _SETTLE_S)
    while _current(status) != mode and time.monotonic() < due:
        time.sleep(0.05)
    return {"mode": _current(status), "code": code, "output": output}


def _run(command: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            input=b"no\n",  # to the question whether to restart the board now
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _NOT_RUN, str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def _current(status: Path) -> int | None:
    try:
        found = re.search(r"\bpmode:\s*([0-9]+)", status.read_text(errors="replace"))
    except OSError:
        return None
    return int(found.group(1)) if found else None


def _wait_for_end(starter: int) -> None:
    while os.getppid() == starter:
        readable, _, _ = select.select([0], [], [], _LOOK_S)
        if readable and not os.read(0, 1):
            return


def _tell(report: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: what is to be done is the same
        os.write(1, json.dumps(report).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))

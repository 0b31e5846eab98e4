"""What a push is told, what it reports on its way, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from erpose_edge.errors import (
    EXIT_ACCURACY,
    EXIT_INTEGRITY,
    EXIT_LATENCY,
    EXIT_PASS,
    EXIT_REQUEST,
    EXIT_TARGET,
)
from erpose_edge.runtime.files import write_json

PHASES = (
    "connect",
    "check",
    "upload",
    "unpack",
    "build",
    "selftest",
    "benchmark",
    "switch",
)
GRAVEST_FIRST = (EXIT_INTEGRITY, EXIT_REQUEST, EXIT_TARGET, EXIT_ACCURACY, EXIT_LATENCY, EXIT_PASS)
Status: TypeAlias = Literal["served", "kept", "failed", "rolled back", "untouched"]


@dataclass(frozen=True)
class PushOptions:
    """How to push.

    Attributes:
        keep: Releases that stay on the board; the one that serves and the one before it always do.
        accept_slow: Let a release serve that missed its latency budget. One that missed its
            accuracy or its self-test never serves.
        benchmark: Arguments of the board's ``benchmark``.
        timeout_s: For all steps of one host together; None waits as long as it takes.
    """

    keep: int = 3
    accept_slow: bool = False
    benchmark: tuple[str, ...] = ()
    timeout_s: float | None = None


@dataclass(frozen=True)
class Event:
    """One step forward on one host.

    Attributes:
        host: Its label.
        phase: One of ``PHASES``.
        text: For people; a line of the board's stderr, for example. Without control characters.
        done: Bytes uploaded, None outside of uploads.
        total: Bytes to upload.
    """

    host: str
    phase: str
    text: str = ""
    done: int | None = None
    total: int | None = None


Report: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True)
class PushResult:
    """What came of one host.

    Attributes:
        host: Its label.
        status: ``served``: the release serves now; ``kept``: it is there, but what served before
            still does, as ``reason`` says; ``failed``: it did not get so far; ``rolled back``;
            ``untouched``: a canary failed before.
        exit_code: Of this host; 0 also where it was not touched.
        reason: Why it is not ``served``, or what people should know.
        release: What serves now, as far as it is known.
        previous: What served before.
        uploaded_bytes: Sent by this push.
        resumed_bytes: Already there, from one that was cut off.
        certificate: Output of the board's ``benchmark``.
    """

    host: str
    status: Status
    exit_code: int = EXIT_PASS
    reason: str | None = None
    release: str | None = None
    previous: str | None = None
    uploaded_bytes: int = 0
    resumed_bytes: int = 0
    certificate: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return one entry of ``hosts`` in the JSON document of a push."""
        return dict(vars(self))


def worst_exit_code(results: Sequence[PushResult]) -> int:
    """Return the gravest exit code: 6, 2, 5, 3, 4, 0, in this order."""
    codes = {result.exit_code for result in results}
    return next(code for code in (*GRAVEST_FIRST, *sorted(codes)) if code in codes)


def save_certificates(results: Sequence[PushResult], folder: Path) -> list[Path]:
    """Write ``HOST.json`` for each host that sent a certificate; return the files."""
    written = []
    for result in results:
        if result.certificate is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (re.sub(r"[^A-Za-z0-9@._-]", "_", result.host) + ".json")
        write_json(path, result.certificate)
        written.append(path)
    return written


def push_document(results: Sequence[PushResult]) -> dict[str, Any]:
    """Return the JSON document of a push or a rollback."""
    return {
        "exit_code": worst_exit_code(results),
        "hosts": [result.to_json() for result in results],
    }

"""What commands write: results on stdout, notes and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(highlight=False)
messages = Console(stderr=True, highlight=False)
_SHOWN = 10  # entries that are listed on a screen; --json lists all


class Advance(Protocol):
    """Tell a progress bar how far the work is."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show ``done`` of ``total``, and ``note`` behind it (a loss, a rate)."""


def emit_json(document: object) -> None:
    """Write ``document`` to stdout as the one JSON document of ``--json``.

    Paths become text; NaN is refused, as it is not JSON.
    """
    text = json.dumps(document, indent=2, default=_plain, allow_nan=False)
    sys.stdout.write(text + "\n")


def list_unusable(entries: Sequence[object], what: str) -> None:
    """Name the first few ``entries`` on stderr, and say how many more there are.

    Args:
        entries: What cannot be used; each reads ``<where>: <why>``.
        what: A word for all of them, such as ``images``.
    """
    for entry in entries[:_SHOWN]:
        messages.print(f"not used: {entry}", markup=False, soft_wrap=True)
    if len(entries) > _SHOWN:
        messages.print(f"not used: {len(entries) - _SHOWN} more {what}; --json lists all")


@contextmanager
def progress(label: str) -> Iterator[Advance]:
    """Show a bar on stderr with the rate of advance and the time left.

    On a terminal the bar is redrawn and removed at the end; in a log it is one line each tenth.

    Example:
        ``with progress("validate") as advance: evaluate(..., progress=advance)``
    """
    if not messages.is_terminal:
        yield _LoggedProgress(label)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=messages,
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield advance


class _LoggedProgress:
    """Progress where stderr is a file: a line each tenth of the way."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._shown = -1

    def __call__(self, done: int, total: int, note: str = "") -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > self._shown:
            self._shown = tenth
            messages.print(f"{self._label}: {done}/{total} {note}".rstrip(), markup=False)


def _plain(value: Any) -> Any:  # noqa: ANN401 - the signature json asks for
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars, without importing numpy
        return value.tolist()
    raise TypeError(f"JSON output: expected plain values, got {type(value).__name__}")

"""What `deploy` prints when it pushes to boards: a live table, a line for each host, or JSON.

Not a command of its own: ``cli/deploy.py`` parses the options and calls `push` or `roll_back`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.cli.output import console, emit_json, messages

if TYPE_CHECKING:
    from rich.table import Table

    from erpose_edge.deploy.remote.hosts import Fleet
    from erpose_edge.deploy.remote.results import Event, PushOptions, PushResult, Report
    from erpose_edge.runtime.bundle import Bundle

_COLOURS = {"served": "green", "rolled back": "green", "kept": "yellow", "failed": "red"}


def fleet_of(
    host: str | None,
    hosts: Path | None,
    path: str | None = None,
    identity: Path | None = None,
    ssh_config: Path | None = None,
) -> Fleet:
    """Return the fleet that the options name: one host, or a file of many.

    Raises:
        RequestError: Both are given or neither is, or options of one host come with a file.
        ConfigError: A host or the file has a mistake.
    """
    from erpose_edge.deploy.remote.hosts import Fleet, load_fleet, parse_host
    from erpose_edge.errors import RequestError

    own = {"path": path, "identity": identity, "ssh_config": ssh_config}
    given = {name: value for name, value in own.items() if value is not None}
    if (host is None) == (hosts is None):
        got = "neither" if host is None else "both"
        raise RequestError(f"push: expected --host or --hosts, got {got}; give one of them")
    if hosts is None:
        return Fleet(hosts=[parse_host(str(host), given)], concurrency=1, timeout_s=6 * 3600.0)
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise RequestError(
            f"{names}: expected with --host, got --hosts; write it into {hosts} for each host"
        )
    return load_fleet(hosts)


def push(
    fleet: Fleet,
    archive: Path,
    bundle: Bundle,
    options: PushOptions,
    certificates: Path,
    as_json: bool = False,
) -> int:
    """Push ``archive``, the plain tar of ``bundle``, to every host; return the exit code.

    Args:
        fleet: Where to.
        archive: Plain tar of the bundle.
        bundle: What is in it.
        options: How.
        certificates: Folder that gets ``HOST.json`` of every host that was measured.
        as_json: Print one JSON document (schema ``push``) instead of lines.
    """
    from erpose_edge.deploy.remote.fleet import push_fleet
    from erpose_edge.deploy.remote.results import save_certificates

    def work(report: Report) -> Coroutine[Any, Any, list[PushResult]]:
        return push_fleet(fleet, archive, bundle, options, report)

    results = _watched(fleet, work)
    saved = save_certificates(results, certificates)
    code = _print(results, as_json)
    if saved and not as_json:
        _say(f"certificates: {certificates}")
    return code


def roll_back(fleet: Fleet, target: str, options: PushOptions, as_json: bool = False) -> int:
    """Roll back every host of the fleet; return the exit code."""
    from erpose_edge.deploy.remote.fleet import roll_back_fleet

    def work(report: Report) -> Coroutine[Any, Any, list[PushResult]]:
        return roll_back_fleet(fleet, target, options, report)

    return _print(_watched(fleet, work), as_json)


def _watched(
    fleet: Fleet, work: Callable[[Report], Coroutine[Any, Any, list[PushResult]]]
) -> list[PushResult]:
    shown = _live([host.label for host in fleet.hosts]) if messages.is_terminal else _logged()
    with shown as report:
        return asyncio.run(work(report))


@contextmanager
def _logged() -> Iterator[Report]:
    """Write a line for each step, and for each tenth of an upload."""
    tenths: dict[str, int] = {}

    def report(event: Event) -> None:
        text = event.text
        if event.done is not None and event.total:
            tenth = 10 * event.done // event.total
            if tenths.get(event.host) == tenth:
                return
            tenths[event.host] = tenth
            text = f"{event.done / 1e6:.1f} of {event.total / 1e6:.1f} MB {text}"
        line = f"{event.host}: {event.phase}" + (f": {text.strip()}" if text else "")
        messages.print(line, markup=False, soft_wrap=True)

    yield report


@contextmanager
def _live(labels: list[str]) -> Iterator[Report]:
    """Redraw a table of all hosts: phase, upload, and the newest line of each."""
    from rich.live import Live

    rows: dict[str, tuple[str, str, str]] = dict.fromkeys(labels, ("waiting", "", ""))
    with Live(_table(rows), console=messages, refresh_per_second=8, transient=True) as live:

        def report(event: Event) -> None:
            _, upload, _ = rows[event.host]
            if event.done is not None and event.total:
                upload = f"{event.done / event.total:.0%}"
            rows[event.host] = (event.phase, upload, event.text)
            live.update(_table(rows))

        yield report


def _table(rows: dict[str, tuple[str, str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("host", "phase", "uploaded", "last line"):
        table.add_column(heading, no_wrap=True)
    for label, (phase, upload, line) in rows.items():
        table.add_row(label, Text(phase, _COLOURS.get(phase, "")), upload, Text(line))
    return table


def _print(results: list[PushResult], as_json: bool) -> int:
    from erpose_edge.deploy.remote.results import push_document, worst_exit_code
    from erpose_edge.validate.certificate.show import lines_of

    code = worst_exit_code(results)
    if as_json:
        emit_json(push_document(results))
        return code
    for result in results:
        served = f", serves {result.release}" if result.release else ""
        before = f" (before: {result.previous})" if result.previous else ""
        reason = f": {result.reason}" if result.reason else ""
        if result.certificate is not None and "certificate" in result.certificate:
            for line in lines_of(result.certificate):
                _say(f"{result.host}: {line}")
        _say(f"{result.host}: {result.status}{served}{before}{reason}")
    if len(results) > 1:
        done = sum(result.status in ("served", "rolled back") for result in results)
        _say(f"{done} of {len(results)} hosts done, exit code {code}")
    return code


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)

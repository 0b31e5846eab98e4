"""Push one bundle to many hosts: some at a time, a canary first, each with its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from erpose_edge.deploy.remote.hosts import Fleet, HostOptions
from erpose_edge.deploy.remote.push import push_release, rollback
from erpose_edge.deploy.remote.results import Event, PushOptions, PushResult, Report
from erpose_edge.errors import ErposeError
from erpose_edge.runtime.bundle import Bundle

_ToHost = Callable[[HostOptions], Awaitable[PushResult]]


async def push_fleet(
    fleet: Fleet, archive: Path, bundle: Bundle, options: PushOptions, report: Report
) -> list[PushResult]:
    """Push to every host; the failure of one stops no other, but for the canary's.

    Args:
        fleet: Where to. Its first ``canary`` hosts are done before the others; if the exit code
            of any of them is not 0, the others are ``untouched``.
        archive: Plain tar of ``bundle``.
        bundle: What is inside.
        options: How; the fleet's ``timeout_s`` counts for each host.
        report: Called with each step of each host.

    Returns:
        One result for each host, in the fleet's order.
    """
    timed = replace(options, timeout_s=fleet.timeout_s)

    async def push(host: HostOptions) -> PushResult:
        return await push_release(host, archive, bundle, timed, report)

    return await _in_turn(fleet, push, report)


async def roll_back_fleet(
    fleet: Fleet, target: str, options: PushOptions, report: Report
) -> list[PushResult]:
    """Roll back every host, as `push_fleet` pushes to every host."""
    timed = replace(options, timeout_s=fleet.timeout_s)

    async def back(host: HostOptions) -> PushResult:
        return await rollback(host, target, timed, report)

    return await _in_turn(fleet, back, report)


async def _in_turn(fleet: Fleet, work: _ToHost, report: Report) -> list[PushResult]:
    first, rest = fleet.hosts[: fleet.canary], fleet.hosts[fleet.canary :]
    results = await _all(first, fleet.concurrency, work, report)
    failed = [result.host for result in results if result.exit_code]
    if failed:
        reason = f"not touched, as the canary {', '.join(failed)} failed"
        untouched = [PushResult(host.label, "untouched", reason=reason) for host in rest]
        for result in untouched:
            report(Event(result.host, "untouched", reason))
        return results + untouched
    return results + await _all(rest, fleet.concurrency, work, report)


async def _all(
    hosts: Sequence[HostOptions], concurrency: int, work: _ToHost, report: Report
) -> list[PushResult]:
    free = asyncio.Semaphore(concurrency)

    async def one(host: HostOptions) -> PushResult:
        async with free:
            try:
                result = await work(host)
            except ErposeError as error:
                result = PushResult(host.label, "failed", error.exit_code, str(error))
        report(Event(host.label, result.status, result.reason or ""))
        return result

    return list(await asyncio.gather(*(one(host) for host in hosts)))

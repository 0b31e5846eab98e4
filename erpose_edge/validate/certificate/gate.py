"""Whether a certificate keeps a budget, as one check for each limit."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from erpose_edge.validate.budget import Budget
from erpose_edge.validate.certificate.judged import verdict_of
from erpose_edge.validate.certificate.verify import Check

if TYPE_CHECKING:
    from collections.abc import Mapping


def budget_of(document: Mapping[str, Any], limits: Mapping[str, float | None]) -> Budget:
    """Return the budget of a certificate with some limits instead of its own; None keeps those."""
    given = {name: value for name, value in limits.items() if value is not None}
    return replace(Budget(**document["budget"]), **given)


def gate(document: Mapping[str, Any], budget: Budget) -> tuple[dict[str, Any], list[Check]]:
    """Judge a certificate against a budget.

    Returns:
        The verdict, and a check for the self-test and each limit that is set: what a limit alone
        says against the artifact that serves.
    """
    verdict = verdict_of(document, budget)
    broken = document["self_test"]["reasons"]
    checks = [Check("self-test", broken[0] if broken else None)]
    for name, limit in asdict(budget).items():
        if limit is None or broken:
            continue
        alone = verdict_of(document, replace(Budget(), **{name: limit}))
        checks.append(Check(f"{name} {limit:g}", alone["reasons"][0] if alone["reasons"] else None))
    named = {check.error for check in checks}
    rest = [reason for reason in verdict["reasons"] if reason not in named]
    return verdict, [*checks, *(Check("choice", reason) for reason in rest)]

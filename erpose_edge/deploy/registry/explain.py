"""Why a target is deployed as it is: which precisions are tried where, and the rules behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from erpose_edge.deploy.registry.of_target import (
    modules_of,
    releases,
    situation_of,
    span,
    with_precision,
)
from erpose_edge.machine.entries import JetPack
from erpose_edge.machine.registry import Registry, entry_to_json
from erpose_edge.machine.rules import Decision, Rule, Situation

if TYPE_CHECKING:
    from erpose_edge.deploy.profile import Profile

END_TO_END = "compact"  # the contract that a target would have if no rule spoke against it


@dataclass(frozen=True)
class Outcome:
    """What rules say of a target in one case.

    Attributes:
        precisions: In the order in which they are tried.
        refused: Why the others are not, by precision.
        prefer: Taken unless another was measured faster; empty: no rule says so.
        contract: Outputs that a rule asks for; empty: none does.
        dla: Whether the DLA can be used; None: no rule says anything.
        saturates: int8 sums can overflow in silence.
        not_served: Ways out; empty: it is served.
        rules: Names of the rules that hold.
    """

    precisions: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    prefer: str
    contract: str
    dla: str | None
    saturates: bool
    not_served: tuple[str, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """Devices of a target for which the rules say the same.

    Attributes:
        devices: Families of modules, or a class of processors.
        software: JetPack releases; empty where they do not matter.
        tensorrt: Its version; empty: not known, or another engine.
        outcome: What holds for them.
    """

    devices: tuple[str, ...]
    software: str
    tensorrt: str
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        """Return the case as plain values."""
        outcome = self.outcome
        return {
            "devices": list(self.devices),
            "software": self.software,
            "tensorrt": self.tensorrt,
            "precisions": list(outcome.precisions),
            "refused": dict(outcome.refused),
            "prefer": outcome.prefer,
            "contract": outcome.contract,
            "dla": outcome.dla,
            "saturates": outcome.saturates,
            "not_served": list(outcome.not_served),
            "rules": list(outcome.rules),
        }


@dataclass(frozen=True)
class Explanation:
    """A target with everything that decides about it.

    Attributes:
        profile: The target.
        served: ``served``, ``best effort`` (there is a way out) or ``planned``.
        cases: In the order of the registry.
        rules: Of the registry, that hold in some case.
        entries: Modules, boards, processors and parts of phones that the target stands for.
        unverified: Fields without a source, by entry.
        sources: Of those entries: words and address, by name.
    """

    profile: Profile
    served: str
    cases: tuple[Case, ...]
    rules: tuple[Rule, ...]
    entries: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    unverified: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``targets show --json``; see ``schemas/target.json``."""
        own = [{"says": each.rule, "source": each.source} for each in self.profile.rules]
        return {
            **self.profile.model_dump(mode="json"),
            "served": self.served,
            "cases": [case.to_json() for case in self.cases],
            "rules": [*(entry_to_json(rule) for rule in self.rules), *own],
            "facts": {name: entry_to_json(found) for name, found in self.entries.items()},
            "unverified": {name: list(fields) for name, fields in self.unverified.items()},
            "sources": self.sources,
        }


def served(profile: Profile) -> str:
    """Return how far this version serves a target, in a word or two."""
    if profile.status == "available":
        return "served"
    return "best effort" if profile.way_out else "planned"


def explain(profile: Profile, registry: Registry) -> Explanation:
    """Return what decides about a target."""
    cases = tuple(_cases(profile, registry))
    names = {name for case in cases for name in case.outcome.rules}
    entries: dict[str, tuple[Any, ...]] = {}
    for kind in ("modules", "boards", "cpus", "mobiles"):
        wanted = getattr(profile, kind)
        found = tuple(entry for entry in getattr(registry, kind) if entry.name in wanted)
        if found:
            entries[kind] = found
    modules = modules_of(profile, registry)
    jetpacks = {j.name for module in modules for j in releases(profile, module, registry)}
    if jetpacks:
        entries["jetpacks"] = tuple(j for j in registry.jetpacks if j.name in jetpacks)
    everything = [entry for found in entries.values() for entry in found]
    used = {source for entry in everything for source in entry.sources}
    return Explanation(
        profile=profile,
        served=served(profile),
        cases=cases,
        rules=tuple(rule for rule in registry.rules if rule.name in names),
        entries=entries,
        unverified={_called(entry): entry.unverified for entry in everything if entry.unverified},
        sources={
            s.name: " ".join((s.says, s.url)).strip() for s in registry.sources if s.name in used
        },
    )


def _called(entry: Any) -> str:  # noqa: ANN401 - an entry of any kind
    return f"JetPack {entry.name}" if isinstance(entry, JetPack) else str(entry.name)


def _cases(profile: Profile, registry: Registry) -> Iterator[Case]:
    if profile.modules:
        yield from _module_cases(profile, registry)
        return
    android = bool(profile.mobiles)
    plain = Situation(
        engine=profile.engine,
        family="",
        generation="",
        system="android" if android else "linux",
        jetpack="",
    )
    for cpu in registry.cpus:
        if cpu.name not in profile.cpus:
            continue
        situation = Situation(
            **{
                **vars(plain),
                "architecture": cpu.architecture[0],
                "cpu_flags": cpu.has[:1],
            }
        )
        yield Case((cpu.name,), "", "", _outcome(profile, registry, situation))
    if profile.cpus:
        return
    versions = profile.tensorrt_versions or {"": ""}
    for source, version in versions.items():
        situation = Situation(**{**vars(plain), "tensorrt": version or None})
        yield Case(tuple(profile.mobiles), source, version, _outcome(profile, registry, situation))


def _module_cases(profile: Profile, registry: Registry) -> Iterator[Case]:
    """Yield the cases of Jetson modules, those of equal outcome joined."""
    tables: dict[tuple[Case, ...], list[str]] = {}
    for module in {module.family: module for module in modules_of(profile, registry)}.values():
        groups: list[tuple[list[JetPack], Outcome]] = []
        for jetpack in releases(profile, module, registry):
            outcome = _outcome(profile, registry, situation_of(profile, module, jetpack))
            last = groups[-1] if groups else None
            if last and (last[0][0].tensorrt, last[1]) == (jetpack.tensorrt, outcome):
                last[0].append(jetpack)
            else:
                groups.append(([jetpack], outcome))
        table = tuple(Case((), span(js), js[0].tensorrt, outcome) for js, outcome in groups)
        tables.setdefault(table, []).append(module.family)
    for table, families in tables.items():
        for case in table:
            yield Case(tuple(families), case.software, case.tensorrt, case.outcome)


def _outcome(profile: Profile, registry: Registry, situation: Situation) -> Outcome:
    decisions: dict[str, Decision] = {}
    for precision in profile.precisions:
        asked = END_TO_END if profile.contract == "decoded" else profile.contract
        decisions[precision] = registry.decide(with_precision(situation, precision, asked))
    refused = {
        name: next(rule.says for rule in decision.rules if name in rule.effect.no_precisions)
        for name, decision in decisions.items()
        if name in decision.no_precisions
    }
    every = list(decisions.values())
    names = dict.fromkeys(rule.name for decision in every for rule in decision.rules)
    order = {rule.name: index for index, rule in enumerate(registry.rules)}
    return Outcome(
        precisions=tuple(p for p in profile.precisions if p not in refused),
        refused=tuple(refused.items()),
        prefer=next((decision.prefer for decision in every if decision.prefer), ""),
        contract=next((decision.contract for decision in every if decision.contract), ""),
        dla=every[0].dla,
        saturates=any(decision.saturates for decision in every),
        not_served=tuple(dict.fromkeys(way for decision in every for way in decision.not_served)),
        rules=tuple(sorted(names, key=order.__getitem__)),
    )

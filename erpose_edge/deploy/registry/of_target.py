"""What the registry says of a target's devices: names, TensorRT versions, and what rules allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, Protocol

from erpose_edge.errors import ConfigError
from erpose_edge.machine.entries import JetPack, Module
from erpose_edge.machine.registry import Registry
from erpose_edge.machine.rules import Situation
from erpose_edge.machine.versions import in_range


class Target(Protocol):
    """What of a profile names entries of the registry."""

    @property
    def engine(self) -> str:
        """What runs the network."""

    @property
    def modules(self) -> list[str]:
        """Names of Jetson modules."""

    @property
    def flash(self) -> Literal["original", "super"] | None:
        """How they were flashed; None: either way."""

    @property
    def boards(self) -> list[str]:
        """Names of boards."""

    @property
    def cpus(self) -> list[str]:
        """Names of classes of processors."""

    @property
    def mobiles(self) -> list[str]:
        """Names of parts of phones."""


def require_known(target: Target, registry: Registry, where: str) -> None:
    """Refuse names that the registry does not have.

    Args:
        target: Whose names are looked up.
        registry: Where.
        where: The profile's file, for messages.

    Raises:
        ConfigError: One of them is unknown.
    """
    for kind in ("modules", "boards", "cpus", "mobiles"):
        known = [entry.name for entry in getattr(registry, kind)]
        for name in getattr(target, kind):
            if name not in known:
                raise ConfigError(
                    f"{where}: {kind}: expected names of the registry ({', '.join(known)}), "
                    f"got {name!r}"
                )


def modules_of(target: Target, registry: Registry) -> list[Module]:
    """Return the modules of a target."""
    return [registry.module(name) for name in target.modules]


def device_tree_names(target: Target, registry: Registry) -> list[str] | None:
    """Return the names in the device trees of a target's boards; None where it has no boards."""
    if not target.modules and not target.boards:
        return None
    names: list[str] = []
    for module in modules_of(target, registry):
        for flash in ("original", "super"):
            profile = module.flash(flash)
            if profile is not None and target.flash in (None, flash):
                names += profile.compatible
    for board in registry.boards:
        names += board.compatible if board.name in target.boards else ()
    return list(dict.fromkeys(names))


def releases(target: Target, module: Module, registry: Registry) -> Iterator[JetPack]:
    """Yield the JetPack releases that a module of a target can have, oldest first."""
    flash = module.super if target.flash == "super" else None
    since = flash.since_jetpack if flash is not None else ""
    for jetpack in registry.jetpacks_for(module):
        if not since or in_range(jetpack.version, f">={since}"):
            yield jetpack


def situation_of(target: Target, module: Module, jetpack: JetPack) -> Situation:
    """Return what is known of a module with a release."""
    return Situation(
        engine=target.engine,
        family=module.family,
        generation=module.generation,
        architecture="aarch64",
        system="linux",
        tensorrt=jetpack.tensorrt or None,
        jetpack=jetpack.version,
        python=jetpack.python or None,
    )


def tensorrt_facts(target: Target, registry: Registry) -> dict[str, Any]:
    """Return the values of `TensorrtFacts` for the modules of a target.

    Only the releases that this version serves count, unless it serves none.
    """
    modules = modules_of(target, registry)
    served: dict[str, tuple[JetPack, bool]] = {}
    for module in modules:
        for jetpack in releases(target, module, registry):
            if jetpack.tensorrt:
                decision = registry.decide(situation_of(target, module, jetpack))
                before = served.get(jetpack.name)
                works = not decision.not_served or (before is not None and before[1])
                served[jetpack.name] = (jetpack, works)
    any_served = any(works for _, works in served.values())
    names = {name for name, (_, works) in served.items() if works or not any_served}
    kept = [jetpack for jetpack in registry.jetpacks if jetpack.name in names]
    capabilities = {module.compute_capability for module in modules}
    return {
        "compute_capability": capabilities.pop() if len(capabilities) == 1 else None,
        "memory_gb": [int(module.memory_gb) for module in modules],
        "dla_cores": [module.dla_cores for module in modules],
        "versions": {span(group): group[0].tensorrt for group in _by_version(kept)},
    }


def span(jetpacks: list[JetPack]) -> str:
    """Return what releases that follow each other are called: ``JetPack 6.1 to 6.2.2``."""
    first, last = jetpacks[0].version, jetpacks[-1].last or jetpacks[-1].version
    return f"JetPack {first}" if first == last else f"JetPack {first} to {last}"


def _by_version(jetpacks: list[JetPack]) -> list[list[JetPack]]:
    groups: list[list[JetPack]] = []
    for jetpack in jetpacks:
        if groups and groups[-1][-1].tensorrt == jetpack.tensorrt:
            groups[-1].append(jetpack)
        else:
            groups.append([jetpack])
    return groups


def with_precision(situation: Situation, precision: str, contract: str) -> Situation:
    """Return a situation with an artifact in it."""
    return replace(situation, precision=precision, contract=contract)

"""Whether a module reaches DLA with a version of TensorRT, by the registry's rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from erpose_edge.machine.rules import Situation
from erpose_edge.runtime.tensorrt.dla import dla_way

if TYPE_CHECKING:
    from erpose_edge.machine.entries import Module
    from erpose_edge.machine.registry import Registry


@dataclass(frozen=True)
class DlaSupport:
    """Whether there is DLA.

    Attributes:
        available: ``yes``, ``no``, or ``unconfirmed`` where no document says either.
        how: ``implicit`` or ``explicit`` int8; None where there is none.
        reason: One sentence.
    """

    available: str
    how: str | None
    reason: str


def dla_support(
    registry: Registry, module: Module, version: str, jetpack: str | None = None
) -> DlaSupport:
    """Return whether ``module`` reaches DLA with a version of TensorRT.

    Args:
        registry: Whose rules decide.
        module: Of the registry.
        version: Of TensorRT.
        jetpack: Version of JetPack; None: not known, which leaves some answers unconfirmed.
    """
    if not module.dla_cores:
        return DlaSupport("no", None, f"{module.name} has no DLA")
    said = registry.decide(
        Situation(
            engine="tensorrt",
            family=module.family,
            generation=module.generation,
            tensorrt=version,
            jetpack=jetpack,
        )
    )
    way = dla_way(version)
    deciding = [rule.says for rule in said.rules if said.dla and rule.effect.dla == said.dla]
    reason = deciding[0] if deciding else way.reason
    if said.dla == "no" or way.how is None:
        return DlaSupport("no", None, reason if said.dla == "no" else way.reason)
    return DlaSupport(said.dla or "unconfirmed", way.how, reason)

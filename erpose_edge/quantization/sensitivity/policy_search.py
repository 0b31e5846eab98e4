"""Search the layers that have to stay float: the most OKS for the least time first.

Layers become float in the order of what quantizing them costs in OKS over the time that they take
more in float, until AP retention is met; the count is found by doubling and halving, as each step
is a measurement on all images. Then every float layer that is not needed goes back to int8 where
that saves time, the one that saves the most first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erpose_edge.config_file import dump_yaml
from erpose_edge.errors import RequestError
from erpose_edge.quantization.recipe import Policy
from erpose_edge.runtime.files import write_whole

Cost = Callable[[Collection[str]], float]
Retention = Callable[[Collection[str]], "float | None"]

# Times below this part of a layer's mean count as this much: else noise of a time decides.
_LEAST_PART = 0.1


@dataclass(frozen=True)
class Step:
    """One measurement of the search.

    Attributes:
        change: What was tried, in words.
        keep_float: Layers that were float, besides those of the weights' own policy.
        retention: AP as a fraction of the float network's.
        modelled_ms: Time of the network by the latency model; None without one.
        met: Whether ``retention`` was enough.
    """

    change: str
    keep_float: tuple[str, ...]
    retention: float
    modelled_ms: float | None
    met: bool


@dataclass(frozen=True)
class PolicySearch:
    """What a search found.

    Attributes:
        found: The step whose layers the policy keeps float; None if no policy met the retention.
        steps: In the order in which they were measured.
    """

    found: Step | None
    steps: list[Step]

    def to_json(self) -> dict[str, Any]:
        """Return the object ``search`` of ``schemas/sensitivity.json``, but for its times."""
        return {
            "met": self.found is not None,
            "keep_float": list(self.found.keep_float) if self.found else None,
            "retention": self.found.retention if self.found else None,
            "modelled_ms": self.found.modelled_ms if self.found else None,
            "steps": [
                {
                    "change": step.change,
                    "float_layers": len(step.keep_float),
                    "retention": step.retention,
                    "modelled_ms": step.modelled_ms,
                    "met": step.met,
                }
                for step in self.steps
            ],
        }


def search_policy(
    losses: Mapping[str, float],
    retention: Retention,
    min_retention: float,
    *,
    cost: Cost | None = None,
    on_step: Callable[[Step], None] = lambda _: None,
) -> PolicySearch:
    """Return the int8 layers that meet a retention at little cost in time.

    Args:
        losses: OKS that is lost when only this layer is int8, by layer.
        retention: Measures the network with the given layers in int8, as a fraction of the float
            network's AP; None where that finds nobody.
        min_retention: To be met.
        cost: Time of the network with the given layers in int8, ms; without one all layers cost
            the same.
        on_step: Called after every measurement.

    Raises:
        RequestError: The float network finds nobody, so there is nothing to retain.
    """
    search = _Search(losses, retention, min_retention, cost, on_step)
    order = search.order()
    # One layer has to stay int8: a policy without any is no policy.
    low, high, most = -1, 0, len(order) - 1
    while not search.measured(order[:high], _more(high)).met:
        if high == most:
            return PolicySearch(None, search.steps)
        low, high = high, min(max(2 * high, 1), most)
    while high - low > 1:
        middle = (low + high) // 2
        if search.measured(order[:middle], _more(middle)).met:
            high = middle
        else:
            low = middle
    kept = order[:high]
    for layer in search.by_time_saved(kept):
        rest = [other for other in kept if other != layer]
        if search.faster(rest, kept) and search.measured(rest, f"back in int8: {layer}").met:
            kept = rest
    found = next(s for s in search.steps if s.met and set(s.keep_float) == set(kept))
    return PolicySearch(found, search.steps)


def write_policy(path: Path, own: Policy, keep_float: Sequence[str], description: str) -> Policy:
    """Write the policy that keeps more layers float than ``own``, and return it.

    Args:
        path: YAML file.
        own: Policy of the weights; everything else is taken from it.
        keep_float: Layers by name.
        description: One line for people.
    """
    policy = own.model_copy(
        update={"description": description, "keep_float": [*own.keep_float, *keep_float]}
    )
    write_whole(path, dump_yaml(policy))
    return policy


class _Search:
    def __init__(
        self,
        losses: Mapping[str, float],
        retention: Retention,
        min_retention: float,
        cost: Cost | None,
        on_step: Callable[[Step], None],
    ) -> None:
        self.steps: list[Step] = []
        self._losses = losses
        self._retention = retention
        self._min_retention = min_retention
        self._cost = cost
        self._on_step = on_step

    def order(self) -> list[str]:
        """Return the layers, the one with the most OKS for its time first."""
        left, order = list(self._losses), []
        least = _LEAST_PART * self._time(left) / max(len(left), 1)
        while left:
            before = self._time(left)

            def gain(layer: str, before: float = before) -> float:
                more = self._time([other for other in left if other != layer]) - before
                return self._losses[layer] / max(more, least)

            order.append(max(left, key=gain))
            left.remove(order[-1])
        return order

    def by_time_saved(self, kept: Collection[str]) -> list[str]:
        """Return the float layers ``kept``, the one that saves the most time in int8 first."""
        int8 = [layer for layer in self._losses if layer not in kept]
        return sorted(kept, key=lambda layer: self._time([*int8, layer]))

    def faster(self, keep_float: Collection[str], than: Collection[str]) -> bool:
        """Return whether the model says that fewer float layers take less time."""
        first, second = ([n for n in self._losses if n not in kept] for kept in (keep_float, than))
        return self._time(first) < self._time(second)

    def measured(self, keep_float: Sequence[str], change: str) -> Step:
        """Return the step with ``keep_float`` float, measured unless it was before."""
        for step in self.steps:
            if set(step.keep_float) == set(keep_float):
                return step
        int8 = [layer for layer in self._losses if layer not in keep_float]
        value = self._retention(int8)
        if value is None:
            raise RequestError(
                "policy search: retention: expected a float network with an AP above 0, got one "
                "that finds nobody; take other images or weights"
            )
        modelled = None if self._cost is None else self._cost(int8)
        met = value >= self._min_retention
        step = Step(change, tuple(keep_float), value, modelled, met)
        self.steps.append(step)
        self._on_step(step)
        return step

    def _time(self, int8: Collection[str]) -> float:
        # Without a model every float layer costs one unit more than in int8.
        return len(self._losses) - len(int8) + 1.0 if self._cost is None else self._cost(int8)


def _more(count: int) -> str:
    return "as quantized" if count == 0 else f"{count} more float"

"""Rules of the registry: conditions that code evaluates, and what follows where they hold.

A condition asks about one thing each; those that a rule leaves out do not matter to it. What is
not known of a machine leaves a rule open: it is neither applied nor dismissed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from erpose_edge.machine.versions import in_range

Dla = Literal["no", "unconfirmed", "yes"]

_STRICT = {"extra": "forbid", "allow_inf_nan": False}
_ONE_OF = ("engine", "family", "generation", "architecture", "system", "precision", "contract")
_RANGES = ("tensorrt", "jetpack", "python")


@dataclass(frozen=True)
class Situation:
    """What rules are asked about; None: not known, an empty text: there is none.

    Attributes:
        engine: What runs the network: ``tensorrt``, ``openvino``, ``onnxruntime``, ``tflite``.
        family: Of the Jetson module.
        generation: Of the Jetson module.
        architecture: As ``uname -m`` says it.
        system: ``linux`` or ``android``.
        precision: Of the artifact: ``int8``, ``mixed``, ``fp16``, ``fp32``.
        contract: Outputs of the artifact: ``raw``, ``decoded``, ``compact``.
        tensorrt: Version of TensorRT.
        jetpack: Version of JetPack.
        python: Version of the device's python3.
        cpu_flags: Of /proc/cpuinfo.
    """

    engine: str | None = None
    family: str | None = None
    generation: str | None = None
    architecture: str | None = None
    system: str | None = None
    precision: str | None = None
    contract: str | None = None
    tensorrt: str | None = None
    jetpack: str | None = None
    python: str | None = None
    cpu_flags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class When:
    """Where a rule holds: every condition that is given has to.

    Attributes:
        engine: One of these.
        family: One of these.
        generation: One of these.
        architecture: One of these.
        system: One of these.
        precision: One of these.
        contract: One of these.
        tensorrt: Range of versions, such as ``>=11.0,<11.4``.
        jetpack: Range of versions.
        python: Range of versions.
        cpu_has: At least one of these flags is there.
        cpu_lacks: None of these flags is there.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    engine: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    generation: tuple[str, ...] = ()
    architecture: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    precision: tuple[str, ...] = ()
    contract: tuple[str, ...] = ()
    tensorrt: str = ""
    jetpack: str = ""
    python: str = ""
    cpu_has: tuple[str, ...] = ()
    cpu_lacks: tuple[str, ...] = ()

    def open_conditions(self, situation: Situation) -> tuple[str, ...]:
        """Return the conditions that cannot be judged, because a fact is not known."""
        asked = [name for name in (*_ONE_OF, *_RANGES) if getattr(self, name)]
        unknown = [name for name in asked if getattr(situation, name) is None]
        if (self.cpu_has or self.cpu_lacks) and situation.cpu_flags is None:
            unknown.append("cpu_flags")
        return tuple(unknown)

    def contradicted(self, situation: Situation) -> bool:
        """Return whether something that is known says that the rule does not hold."""
        for name in _ONE_OF:
            wanted, value = getattr(self, name), getattr(situation, name)
            if wanted and value is not None and value not in wanted:
                return True
        for name in _RANGES:
            wanted, value = getattr(self, name), getattr(situation, name)
            if wanted and value is not None and not in_range(value, wanted):
                return True
        flags = situation.cpu_flags
        if flags is None:
            return False
        missing = bool(self.cpu_has) and not set(self.cpu_has) & set(flags)
        return missing or bool(set(self.cpu_lacks) & set(flags))


@dataclass(frozen=True)
class Effect:
    """What follows; at least one of these.

    Attributes:
        dla: Whether the DLA can be used.
        no_precisions: These cannot be built there.
        prefer: This one, unless another was measured faster on the same machine.
        contract: Outputs to be exported instead.
        saturates: Products of 8-bit numbers are summed in 16 bits, which can overflow in silence.
        avoid: Software that is not to be counted on.
        not_served: This version does not serve it; the way out, in words.
        advice: What to do; for rules that change nothing by themselves.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    dla: Dla | None = None
    no_precisions: tuple[str, ...] = ()
    prefer: str = ""
    contract: str = ""
    saturates: bool = False
    avoid: tuple[str, ...] = ()
    not_served: str = ""
    advice: str = ""

    def names(self) -> tuple[str, ...]:
        """Return the names of the effects that this one has."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name))


@dataclass(frozen=True)
class Rule:
    """Something that holds on some devices.

    Attributes:
        name: Of the rule.
        says: One sentence for people.
        when: Where it holds.
        effect: What follows.
        source: A page, or ``measured`` with the circumstances.
        unverified: The source is a report or a judgement; nobody here has tried it.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    says: str
    when: When
    effect: Effect
    source: str
    unverified: bool = False

    def applies(self, situation: Situation) -> bool | None:
        """Return whether the rule holds; None where what is known does not decide it."""
        if self.when.contradicted(situation):
            return False
        return None if self.when.open_conditions(situation) else True


@dataclass(frozen=True)
class Decision:
    """What the rules that hold say together.

    Attributes:
        dla: The strictest of them; None: no rule says anything.
        no_precisions: Union.
        prefer: Of the last rule that prefers one.
        contract: Of the last rule that asks for one.
        saturates: Whether one says so.
        avoid: Union.
        not_served: Every way out.
        rules: Those that hold, in the order of the registry.
        open_rules: Those that could hold, if more were known.
    """

    dla: Dla | None = None
    no_precisions: tuple[str, ...] = ()
    prefer: str = ""
    contract: str = ""
    saturates: bool = False
    avoid: tuple[str, ...] = ()
    not_served: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = field(default_factory=tuple)
    open_rules: tuple[Rule, ...] = field(default_factory=tuple)


def decide(rules: tuple[Rule, ...], situation: Situation) -> Decision:
    """Return what ``rules`` say of a situation."""
    holding = tuple(rule for rule in rules if rule.applies(situation))
    undecided = tuple(rule for rule in rules if rule.applies(situation) is None)
    effects = [rule.effect for rule in holding]
    said = {effect.dla for effect in effects}
    strictest = [level for level in ("no", "unconfirmed", "yes") if level in said]
    return Decision(
        dla=strictest[0] if strictest else None,
        no_precisions=tuple(dict.fromkeys(p for e in effects for p in e.no_precisions)),
        prefer=next((e.prefer for e in reversed(effects) if e.prefer), ""),
        contract=next((e.contract for e in reversed(effects) if e.contract), ""),
        saturates=any(effect.saturates for effect in effects),
        avoid=tuple(dict.fromkeys(name for e in effects for name in e.avoid)),
        not_served=tuple(effect.not_served for effect in effects if effect.not_served),
        rules=holding,
        open_rules=undecided,
    )

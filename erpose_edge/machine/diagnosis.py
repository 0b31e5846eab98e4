"""Which targets a machine can serve, what is missing, and the exact command that mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Mapping, Sequence

from erpose_edge.errors import EXIT_PASS, EXIT_TARGET
from erpose_edge.machine.advice import advice, warnings
from erpose_edge.machine.needs import Remedy, missing_software
from erpose_edge.machine.rules import Situation

if TYPE_CHECKING:
    from erpose_edge.machine.board import Board
    from erpose_edge.machine.facts import Machine
    from erpose_edge.machine.registry import Registry

# What was run where: L4T to a sentence. A line comes here with a certificate of that system.
_RUN_ON_L4T: Mapping[str, str] = {}
_ARM_32 = "armv7l"
_FIRST_CHOICE = "openvino"

State = Literal["ready", "missing", "not served", "another device"]


@dataclass(frozen=True)
class Target:
    """What a target asks of a machine.

    Attributes:
        name: Of the profile.
        description: One line for people.
        engine: What runs the network.
        device_tree: A machine is this device if its device tree has one of these names; None: any
            machine, empty: none that runs Python.
        modules: Names of the Jetson modules that it stands for, whatever their device tree says.
        flash: What they were flashed as; None: either way.
        available: This version serves it.
        way_out: What to do where it does not.
    """

    name: str
    description: str
    engine: str
    device_tree: tuple[str, ...] | None
    modules: tuple[str, ...] = ()
    flash: str | None = None
    available: bool = True
    way_out: str = ""

    @classmethod
    def from_profile(cls, profile: Mapping[str, Any]) -> Target:
        """Return what a profile asks, from its plain values: those of a bundle have all of them."""
        tree = profile["device_tree"]
        return cls(
            name=profile["name"],
            description=profile["description"],
            engine=profile["engine"],
            device_tree=None if tree is None else tuple(tree),
            modules=tuple(profile.get("modules", ())),
            flash=profile.get("flash"),
            available=profile.get("status", "available") == "available",
            way_out=profile.get("way_out") or "",
        )

    def fits(self, board: Board) -> bool:
        """Return whether a board is one of those that the target stands for."""
        if self.device_tree is None:
            return True
        if self.flash is not None and board.flash not in (None, self.flash):
            return False
        return bool(set(board.modules) & set(self.modules)) or board.fits(self.device_tree)


@dataclass(frozen=True)
class TargetFinding:
    """What was found for one target.

    Attributes:
        target: That was asked for.
        state: ``ready``: it can be served; ``missing``: it could, but software is missing;
            ``not served``: a rule or this version excludes it; ``another device``: this is none.
        reasons: Why it is not ready.
        remedies: What is missing, for the state ``missing``.
    """

    target: Target
    state: State
    reasons: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            "name": self.target.name,
            "engine": self.target.engine,
            "state": self.state,
            "reasons": list(self.reasons),
            "remedies": [asdict(remedy) for remedy in self.remedies],
        }


@dataclass(frozen=True)
class Diagnosis:
    """What a machine can serve.

    Attributes:
        targets: In the order that they were asked in.
        tested: Whether anything of this package was run on such a system.
        to_do: What is missing for the targets of this very device, or for any if it can serve
            none; then what would make it serve better.
        warnings: One line each.
    """

    targets: tuple[TargetFinding, ...]
    tested: str
    to_do: tuple[Remedy, ...]
    warnings: tuple[str, ...]

    @property
    def served(self) -> tuple[str, ...]:
        """Names of the targets that can be served as things are."""
        return tuple(found.target.name for found in self.targets if found.state == "ready")

    @property
    def exit_code(self) -> int:
        """0 where at least one target can be served, else 5."""
        return EXIT_PASS if self.served else EXIT_TARGET

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            "served": list(self.served),
            "tested": self.tested,
            "targets": [found.to_json() for found in self.targets],
            "to_do": [asdict(remedy) for remedy in self.to_do],
            "warnings": list(self.warnings),
        }


def diagnose(
    machine: Machine,
    targets: Sequence[Target],
    registry: Registry | None = None,
    *,
    packaged: bool = False,
) -> Diagnosis:
    """Judge a machine.

    Args:
        machine: As `facts.read_machine` finds it.
        targets: That it is asked to serve.
        registry: Whose rules exclude combinations; without one none is excluded.
        packaged: erpose-edge is installed by pip here, and extras bring engines; else a bundle is
            served, and the system or pip brings them.
    """
    found = tuple(_judge(machine, target, registry, packaged=packaged) for target in targets)
    return Diagnosis(
        targets=found,
        tested=_tested(machine),
        to_do=(*_missing(found), *advice(machine, registry)),
        warnings=warnings(machine),
    )


def situation_of(machine: Machine, target: Target, registry: Registry | None) -> Situation:
    """Return what the registry's rules are asked about a target on a machine."""
    modules = [registry.module(name) for name in machine.board.modules] if registry else []
    families = {module.family for module in modules}
    generations = {module.generation for module in modules}
    tensorrt = machine.software.tensorrt or machine.python.packages.get("tensorrt")
    arm = machine.architecture == "aarch64"
    return Situation(
        engine=target.engine,
        family=_only(families) if machine.board.is_jetson else "",
        generation=_only(generations) if machine.board.is_jetson else "",
        # A 64-bit kernel can carry a 32-bit system, and wheels are for the system.
        architecture=_ARM_32
        if arm and machine.surroundings.userland_bits == 32
        else machine.architecture or None,
        system="linux",
        tensorrt=tensorrt or None,
        jetpack=_jetpack_version(machine, registry),
        python=machine.python.version or None,
        cpu_flags=machine.cpu.flags or None,
    )


def _judge(
    machine: Machine, target: Target, registry: Registry | None, *, packaged: bool
) -> TargetFinding:
    other = _why_another(machine, target)
    if other:
        return TargetFinding(target, "another device", (other,))
    if not target.available:
        way_out = target.way_out or "this version only plans to serve it"
        return TargetFinding(target, "not served", (way_out,))
    if registry is not None:
        rules = registry.rules_for(situation_of(machine, target, registry))
        against = [rule for rule in rules if rule.effect.not_served]
        if against:
            reasons = tuple(f"{rule.says} {_way_out(rule.effect.not_served)}" for rule in against)
            return TargetFinding(target, "not served", reasons)
    missing = missing_software(machine, target.engine, packaged=packaged)
    if missing:
        return TargetFinding(target, "missing", tuple(need.what for need in missing), missing)
    return TargetFinding(target, "ready")


def _why_another(machine: Machine, target: Target) -> str:
    """Return why this machine is not the target's device; empty if it is."""
    board = machine.board
    if target.device_tree is None:
        if target.engine == "tensorrt" and (board.is_jetson or machine.gpu is None):
            return "it needs an NVIDIA card"
        return ""
    if not target.device_tree:
        return "a phone or tablet: serve it from an app"
    if target.fits(board):
        return ""
    return f"this is {board.part_number or board.name or board.model or machine.architecture}"


def _missing(found: tuple[TargetFinding, ...]) -> tuple[Remedy, ...]:
    """Return what to install: a board is not asked to carry every engine that it could."""
    missing = [each for each in found if each.state == "missing"]
    own = [each for each in missing if each.target.device_tree is not None]
    if not own and missing and not any(each.state == "ready" for each in found):
        # One engine is enough; the first choice for a processor is OpenVINO.
        own = [each for each in missing if each.target.engine == _FIRST_CHOICE] or missing[:1]
    return tuple(dict.fromkeys(need for each in own for need in each.remedies))


def _tested(machine: Machine) -> str:
    if machine.board.is_jetson:
        system = f"L4T {machine.l4t}" if machine.l4t else "this system"
        return _RUN_ON_L4T.get(machine.l4t, f"untested: nothing was run on {system}")
    if machine.architecture == "x86_64":
        return "tested: CPU engines are run on x86-64 by the tests of this version"
    return f"untested: nothing was run on {machine.board.model or machine.architecture or 'it'}"


def _jetpack_version(machine: Machine, registry: Registry | None) -> str | None:
    release = registry.jetpack_of(machine.l4t) if registry is not None and machine.l4t else None
    if release is not None:
        return release.version
    return None if machine.board.is_jetson else ""


def _way_out(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _only(values: set[Any]) -> Any:  # noqa: ANN401 - a text of some kind
    return values.pop() if len(values) == 1 else None

"""The registry of devices: modules, JetPack releases, processors, and the rules between them.

One JSON document, written on the workstation from ``targets/facts/*.yaml`` and carried by every
bundle, so that a board can say what it is without the YAML files or a package to read them.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence, TypeVar

from erpose_edge.errors import ConfigError, TargetError
from erpose_edge.machine.entries import (
    Board,
    CpuClass,
    Flash,
    FlashProfile,
    JetPack,
    Mobile,
    Module,
    PowerMode,
    Source,
)
from erpose_edge.machine.rules import Decision, Effect, Rule, Situation, When, decide
from erpose_edge.machine.versions import in_range, parse_version

REGISTRY_FILE = "registry.json"
FORMAT_VERSION = 1

EntryT = TypeVar("EntryT")
NamedT = TypeVar("NamedT", Module, JetPack, Board, CpuClass, Mobile, Source)

# Fields that hold entries themselves: (class of the owner, field) -> class of each.
_NESTED: Mapping[tuple[type, str], type] = {
    (Module, "original"): FlashProfile,
    (Module, "super"): FlashProfile,
    (FlashProfile, "power_modes"): PowerMode,
    (Rule, "when"): When,
    (Rule, "effect"): Effect,
}
_PART_NUMBER = re.compile(r"(?<![0-9a-z])(?:p|699-\d)(\d{4})-(\d{4})(?!\d)")
_SUPER = re.compile(r"-super(?![a-z])")


@dataclass(frozen=True)
class Match:
    """Which module a machine can be.

    Attributes:
        modules: Those that fit; several where only the chip or the family is known.
        flash: The configuration that it was flashed with; None: the device tree does not say.
        by: What it was known by: ``part number``, ``device tree`` or ``chip``.
    """

    modules: tuple[Module, ...]
    flash: Flash | None
    by: str

    @property
    def module(self) -> Module | None:
        """The module, where only one fits."""
        return self.modules[0] if len(self.modules) == 1 else None


@dataclass(frozen=True)
class Registry:
    """Everything that is known of devices.

    Attributes:
        sources: What entries call their sources.
        modules: Jetson modules.
        jetpacks: Releases, oldest first.
        cpus: Classes of processors, the one with the most for int8 first.
        boards: Single-board computers that are no Jetson.
        mobiles: Parts of phones, and accelerators.
        rules: In the order in which they are told.
    """

    sources: tuple[Source, ...] = ()
    modules: tuple[Module, ...] = ()
    jetpacks: tuple[JetPack, ...] = ()
    cpus: tuple[CpuClass, ...] = ()
    boards: tuple[Board, ...] = ()
    mobiles: tuple[Mobile, ...] = ()
    rules: tuple[Rule, ...] = ()

    @classmethod
    def from_json(cls, document: object) -> Registry:
        """Return the registry that `to_json` wrote.

        Raises:
            ConfigError: A key is unknown or missing, or it is of another format.
        """
        if not isinstance(document, Mapping):
            raise ConfigError(f"{REGISTRY_FILE}: expected a mapping, got {_kind(document)}")
        version = document.get("format_version")
        if version != FORMAT_VERSION:
            raise ConfigError(
                f"{REGISTRY_FILE}: format_version: expected {FORMAT_VERSION}, got {version!r}; "
                "take the registry of the same version of erpose-edge"
            )
        known = {each.name for each in dataclasses.fields(cls)}
        unknown = sorted(set(document) - known - {"format_version"})
        if unknown:
            raise ConfigError(
                f"{REGISTRY_FILE}: {unknown[0]}: unknown key; expected one of "
                f"{', '.join(sorted(known))}"
            )
        return cls(**{name: _read_all(document.get(name), name) for name in known})

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; what is empty is left out."""
        return {
            "format_version": FORMAT_VERSION,
            **{
                each.name: [entry_to_json(entry) for entry in getattr(self, each.name)]
                for each in dataclasses.fields(self)
            },
        }

    def module(self, name: str) -> Module:
        """Return the module of that name.

        Raises:
            TargetError: There is none.
        """
        return _named(self.modules, name, "module")

    def jetpack(self, name: str) -> JetPack:
        """Return the release of that name, or the one that holds that version.

        Raises:
            TargetError: There is none.
        """
        return _named(self.jetpacks, name, "JetPack")

    def modules_of(self, family: str) -> tuple[Module, ...]:
        """Return every module of a family."""
        return tuple(module for module in self.modules if module.family == family)

    def module_by_part_number(self, text: str) -> Module | None:
        """Return the module of a part number.

        Args:
            text: Such as ``p3767-0005``, or what the EEPROM holds: ``699-13767-0005-300 M.2``.
        """
        numbers = part_numbers(text)
        return next((m for m in self.modules if numbers and numbers[0] in m.part_numbers), None)

    def find_module(self, compatible: Sequence[str], part_number: str = "") -> Match | None:
        """Return which Jetson module a machine is, or None if it is none that is known.

        The part number decides over the device tree, whose names can be those of a developer kit,
        and the device tree over the chip, which modules share.

        Args:
            compatible: Names of ``/proc/device-tree/compatible``.
            part_number: As in `module_by_part_number`; empty: not known.
        """
        flash = self._flash_of(compatible)
        module = self.module_by_part_number(part_number)
        if module is not None:
            return Match((module,), flash, "part number")
        names = {_SUPER.sub("", name) for name in compatible}
        numbers = {number for name in compatible for number in part_numbers(name)}
        # Whole names first: one of AGX Xavier's has the part number of a single size.
        fitting = [m for m in self.modules if names & set(m.original.compatible)] or [
            m for m in self.modules if numbers & set(m.part_numbers)
        ]
        if fitting:
            return Match(tuple(fitting), flash, "device tree")
        chips = {name.rpartition(",")[2] for name in compatible}
        fitting = [module for module in self.modules if module.soc in chips]
        return Match(tuple(fitting), None, "chip") if fitting else None

    def _flash_of(self, compatible: Sequence[str]) -> Flash | None:
        if any(_SUPER.search(name) for name in compatible):
            return "super"
        return "original" if any(part_numbers(name) for name in compatible) else None

    def jetpack_of(self, l4t: str) -> JetPack | None:
        """Return the release with an L4T version, such as ``36.4.3``; None if it is not known."""
        return next((j for j in self.jetpacks if j.l4t and in_range(l4t, j.l4t)), None)

    def jetpacks_for(self, module: Module) -> tuple[JetPack, ...]:
        """Return the releases that run on a module, oldest first."""
        return tuple(
            jetpack
            for jetpack in self.jetpacks
            if module.generation in jetpack.generations
            and (not jetpack.families or module.family in jetpack.families)
        )

    def cpu_class(self, flags: Iterable[str], architecture: str) -> CpuClass | None:
        """Return the first class that a processor fits.

        Args:
            flags: Of /proc/cpuinfo.
            architecture: As ``uname -m`` says it.
        """
        has = set(flags)
        for cpu in self.cpus:
            fits = not cpu.has or bool(has & set(cpu.has))
            if architecture in cpu.architecture and fits and not has & set(cpu.lacks):
                return cpu
        return None

    def board_by_compatible(self, compatible: Sequence[str]) -> Board | None:
        """Return the board, no Jetson, that has one of these names in its device tree."""
        return next((b for b in self.boards if set(b.compatible) & set(compatible)), None)

    def rules_for(self, situation: Situation) -> tuple[Rule, ...]:
        """Return the rules that hold in a situation."""
        return decide(self.rules, situation).rules

    def decide(self, situation: Situation) -> Decision:
        """Return what all rules say of a situation."""
        return decide(self.rules, situation)


def part_numbers(text: str) -> tuple[str, ...]:
    """Return every part number in ``text``, as ``p3767-0005``; a carrier's are among them."""
    return tuple(f"p{board}-{sku}" for board, sku in _PART_NUMBER.findall(text.lower()))


def entry_to_json(entry: object) -> Any:  # noqa: ANN401 - any JSON value
    """Return an entry as plain values, less the fields that have their default."""
    if isinstance(entry, (list, tuple)):
        return [entry_to_json(item) for item in entry]
    if isinstance(entry, Mapping):
        return {key: entry_to_json(value) for key, value in entry.items()}
    if not dataclasses.is_dataclass(entry) or isinstance(entry, type):
        return entry
    values: dict[str, Any] = {}
    for each in dataclasses.fields(entry):
        value = getattr(entry, each.name)
        factory = each.default_factory
        default = each.default if factory is dataclasses.MISSING else factory()
        if value != default:
            values[each.name] = entry_to_json(value)
    return values


def _named(entries: Sequence[NamedT], name: str, kind: str) -> NamedT:
    for entry in entries:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in entries)
    raise TargetError(f"{kind}: expected one of the registry ({known}), got {name!r}")


_CLASSES: Mapping[str, type] = {
    "sources": Source,
    "modules": Module,
    "jetpacks": JetPack,
    "cpus": CpuClass,
    "boards": Board,
    "mobiles": Mobile,
    "rules": Rule,
}


def _read_all(values: object, name: str) -> tuple[Any, ...]:
    if values is None:
        return ()
    if not isinstance(values, (list, tuple)):
        raise ConfigError(f"{REGISTRY_FILE}: {name}: expected a list, got {_kind(values)}")
    cls = _CLASSES[name]
    return tuple(_read(value, cls, f"{name}.{index}") for index, value in enumerate(values))


def _read(values: object, cls: type[EntryT], key: str) -> EntryT:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{REGISTRY_FILE}: {key}: expected a mapping, got {_kind(values)}")
    known = {each.name: each for each in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ConfigError(
                f"{REGISTRY_FILE}: {key}.{name}: unknown key; expected one of {', '.join(known)}"
            )
    for name, each in known.items():
        optional = (each.default, each.default_factory) != (dataclasses.MISSING,) * 2
        if name not in values and not optional:
            raise ConfigError(
                f"{REGISTRY_FILE}: {key}.{name}: expected a value, got none; add the key"
            )
    return cls(**{name: _plain(value, cls, name, key) for name, value in values.items()})


def _plain(value: object, cls: type, name: str, key: str) -> object:
    """Return a value as the entry holds it: tuples for lists, entries for mappings."""
    inner = _NESTED.get((cls, name))
    if isinstance(value, (list, tuple)):
        if inner is None:
            return tuple(value)
        return tuple(_read(v, inner, f"{key}.{name}.{i}") for i, v in enumerate(value))
    if inner is not None and value is not None:
        return _read(value, inner, f"{key}.{name}")
    if isinstance(value, Mapping):
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    return value


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


__all__ = [
    "REGISTRY_FILE", "Board", "CpuClass", "Decision", "Effect", "FlashProfile", "JetPack", "Match",
    "Mobile", "Module", "PowerMode", "Registry", "Rule", "Situation", "Source", "When",
    "entry_to_json", "parse_version", "part_numbers",
]  # fmt: skip

"""What has to hold between the entries of the registry: names, sources, references, ranges."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from erpose_edge.errors import ConfigError
from erpose_edge.machine.registry import Registry
from erpose_edge.machine.rules import Rule
from erpose_edge.machine.versions import check_range, parse_version

# Fields that say what an entry is about, and not what is known of it.
_NOT_FACTS = {"name", "description", "family", "generation", "version", "unverified", "sources"}
_NOT_FACTS |= {"target"}
_KINDS = ("modules", "jetpacks", "cpus", "boards", "mobiles")


def check_registry(registry: Registry, folder: Path) -> None:
    """Refuse a registry whose entries contradict each other.

    Args:
        registry: As read.
        folder: Of the files, for messages.

    Raises:
        ConfigError: A name stands twice, a fact has no source, a source or another entry that is
            named does not exist, a version or a range is none, or a rule has no effect.
    """
    for name in (each.name for each in dataclasses.fields(registry)):
        _check_names(getattr(registry, name), f"{folder / name}.yaml: {name}")
    sources = [source.name for source in registry.sources]
    for kind in _KINDS:
        for entry in getattr(registry, kind):
            _check_sources(entry, sources, f"{folder / kind}.yaml: {kind}.{entry.name}")
    families = {module.family for module in registry.modules}
    for jetpack in registry.jetpacks:
        where = f"{folder / 'jetpacks'}.yaml: jetpacks.{jetpack.name}"
        _check_ranges({"l4t": jetpack.l4t}, where)
        _check_known(jetpack.families, families, f"{where}.families")
        for key in ("version", "last", "tensorrt", "python"):
            value = getattr(jetpack, key)
            if value and parse_version(value) is None:
                raise ConfigError(f"{where}.{key}: expected a version, got {value!r}")
    for board in registry.boards:
        where = f"{folder / 'boards'}.yaml: boards.{board.name}.cpu"
        _check_known([board.cpu], [cpu.name for cpu in registry.cpus], where)
    for rule in registry.rules:
        _check_rule(rule, families, f"{folder / 'rules'}.yaml: rules.{rule.name}")


def facts(entry: object) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of everything that an entry says; nested names have a dot."""
    for name, value in _values(entry):
        if name in _NOT_FACTS:
            continue
        if dataclasses.is_dataclass(value):
            yield from ((f"{name}.{key}", inner) for key, inner in _values(value))
        else:
            yield name, value


def _values(entry: object) -> Iterator[tuple[str, Any]]:
    for each in dataclasses.fields(entry):  # type: ignore[arg-type]  # an instance
        value = getattr(entry, each.name)
        if value is not None and value not in ("", (), {}):
            yield each.name, value


def _check_names(entries: Sequence[Any], where: str) -> None:
    seen = set()
    for entry in entries:
        if entry.name in seen:
            raise ConfigError(f"{where}: expected every name once, got {entry.name!r} twice")
        seen.add(entry.name)


def _check_sources(entry: Any, known: Collection[str], where: str) -> None:  # noqa: ANN401
    said = dict(facts(entry))
    _check_known(entry.sources, known, f"{where}.sources")
    covered = {field for named in entry.sources.values() for field in named}
    for key, fields in (("sources", covered), ("unverified", entry.unverified)):
        for field in fields:
            if field not in said:
                raise ConfigError(
                    f"{where}.{key}: expected fields that have a value, got {field!r}; "
                    "give it one, or take the name out"
                )
    both = sorted(covered & set(entry.unverified))
    if both:
        raise ConfigError(
            f"{where}: expected {both[0]!r} under sources or under unverified, got both; "
            "keep it where it belongs"
        )
    bare = [field for field in said if field not in covered and field not in entry.unverified]
    if bare:
        raise ConfigError(
            f"{where}.{bare[0]}: expected a source, got none; name the field under one of sources, "
            "or under unverified"
        )


def _check_known(names: Collection[str], known: Collection[str], where: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else "check the name"
            raise ConfigError(f"{where}: expected a known name, got {name!r}; {advice}")


def _check_ranges(ranges: dict[str, str], where: str) -> None:
    for key, wanted in ranges.items():
        if wanted:
            try:
                check_range(wanted)
            except ConfigError as error:
                raise ConfigError(f"{where}.{key}: {error}") from error


def _check_rule(rule: Rule, families: Collection[str], where: str) -> None:
    if not rule.effect.names():
        raise ConfigError(f"{where}.effect: expected at least one effect, got none; add one")
    when = rule.when
    _check_known(when.family, families, f"{where}.when.family")
    ranges = {"tensorrt": when.tensorrt, "jetpack": when.jetpack, "python": when.python}
    _check_ranges(ranges, f"{where}.when")

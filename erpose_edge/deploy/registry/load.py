"""Read ``targets/facts/*.yaml`` into the registry that boards get as JSON.

The files are checked against the classes of `erpose_edge.machine` themselves, so that there is one
description of an entry; `erpose_edge.deploy.registry.check` holds what no type can say.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from erpose_edge.config_file import StrictModel, read_yaml
from erpose_edge.deploy.registry.check import check_registry
from erpose_edge.machine.entries import Board, CpuClass, JetPack, Mobile, Module, Source
from erpose_edge.machine.registry import Registry
from erpose_edge.machine.rules import Rule
from erpose_edge.resources import find_resource


class _Sources(StrictModel):
    sources: list[Source]


class _Modules(StrictModel):
    modules: list[Module]


class _JetPacks(StrictModel):
    jetpacks: list[JetPack]


class _Cpus(StrictModel):
    cpus: list[CpuClass]


class _Boards(StrictModel):
    boards: list[Board]


class _Mobiles(StrictModel):
    mobiles: list[Mobile]


class _Rules(StrictModel):
    rules: list[Rule]


_FILES: dict[str, type[StrictModel]] = {
    "sources": _Sources,
    "modules": _Modules,
    "jetpacks": _JetPacks,
    "cpus": _Cpus,
    "boards": _Boards,
    "mobiles": _Mobiles,
    "rules": _Rules,
}


def load_registry(folder: Path | None = None) -> Registry:
    """Return the registry of the project.

    Args:
        folder: Holds the files of facts; None takes the bundled ones.

    Raises:
        ConfigError: A file is missing or no YAML, or has an unknown key, a value of the wrong type,
            a name twice, a fact without a source, or a reference to nothing.
    """
    return _bundled() if folder is None else _read(folder)


@lru_cache(maxsize=1)
def _bundled() -> Registry:
    return _read(find_resource("facts", "modules").parent)


def _read(folder: Path) -> Registry:
    entries = {}
    for name, schema in _FILES.items():
        entries[name] = tuple(getattr(read_yaml(folder / f"{name}.yaml", schema), name))
    registry = Registry(**entries)
    check_registry(registry, folder)
    return registry

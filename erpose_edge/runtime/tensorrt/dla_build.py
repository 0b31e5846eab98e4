"""Build for DLA: which graph, what the engine depends on, and whether the result is worth it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import TargetError
from erpose_edge.runtime.files import write_whole
from erpose_edge.runtime.tensorrt.dla import DLA_PLAN, DlaPlan, read_plan, require_way
from erpose_edge.runtime.tensorrt.placement import placement, read_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from erpose_edge.runtime.artifact import Artifact
    from erpose_edge.runtime.tensorrt.cache import CacheEntry

PLACEMENT_SUFFIX = ".placement.json"


@dataclass(frozen=True)
class DlaBuild:
    """What a build for DLA is made from.

    Attributes:
        plan: What the artifact says.
        path: Of the plan.
        graph: That is built; None: the one for strongly typed networks.
        settings: What the engine depends on besides the graph.
    """

    plan: DlaPlan
    path: Path
    graph: Path | None
    settings: tuple[str, ...]

    def check(self, force: bool) -> Callable[[CacheEntry, Callable[[str], None]], None]:
        """Return what has to be done with a new engine before it is kept.

        It reads the builder's log, writes the report beside the engine and says it, and raises
        TargetError where there are more changes between GPU and DLA than allowed.

        Args:
            force: Allow any number.
        """

        def report(entry: CacheEntry, tell: Callable[[str], None]) -> None:
            log = read_log(entry.log.read_text(errors="replace"))
            found = placement(log, self.plan.layers, self.plan.max_transitions)
            document = {**found.to_json(), "forced": force}
            write_whole(
                placement_path(entry),
                (json.dumps(document, indent=1, sort_keys=True) + "\n").encode(),
            )
            for line in found.lines():
                tell(line)
            if not force:
                found.require()

        return report


def dla_of(artifact: Artifact, version: str, typing: str) -> DlaBuild:
    """Return what a build for DLA is made from.

    Args:
        artifact: As `read_artifact` returns it.
        version: Of TensorRT.
        typing: ``weak`` or ``strong``, as the network will be.

    Raises:
        TargetError: This TensorRT does not reach DLA, the artifact says nothing about it, or int8
            there needs another typing.
        IntegrityError: What the artifact says is damaged.
    """
    how = require_way(version)
    plan = read_plan(artifact)
    wanted = "weak" if how == "implicit" else "strong"
    if typing != wanted:
        raise TargetError(
            f"typing: expected {wanted} for DLA with TensorRT {version}, got {typing!r}; "
            "leave it out"
        )
    graph = artifact.folder / plan.graph if how == "implicit" else None
    settings = (f"dla_plan={artifact.manifest.files[DLA_PLAN]}",)
    return DlaBuild(plan, artifact.folder / DLA_PLAN, graph, settings)


def placement_path(entry: CacheEntry) -> Path:
    """Return where the report of an engine for DLA stands."""
    return entry.engine.with_suffix(PLACEMENT_SUFFIX)

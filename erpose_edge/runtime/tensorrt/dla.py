"""What an artifact says about DLA: its graph, the scales, and every layer with its cost.

DLA computes in float16 and int8, in static shapes. Up to TensorRT 10.7 int8 there is implicit: a
graph without Q/DQ and a scale for each tensor. From 11.4.1 it is explicit: Q/DQ in a graph that
says every type. In between there is no DLA.

Ref: https://docs.nvidia.com/deeplearning/tensorrt/11.4.1/inference-library/work-with-dla.html
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from erpose_edge.errors import IntegrityError, TargetError
from erpose_edge.runtime.manifest_fields import Fields

if TYPE_CHECKING:
    from erpose_edge.runtime.artifact import Artifact

DLA_ONNX = "model_dla.onnx"
DLA_PLAN = "dla.json"

_FORMAT = 1
_LAST_IMPLICIT = (10, 7)
_FIRST_EXPLICIT = (11, 4, 1)
_VERSION = re.compile(r"^(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class DlaWay:
    """How one version of TensorRT reaches DLA.

    Attributes:
        how: ``implicit`` or ``explicit`` int8; None: it does not.
        reason: In one clause.
    """

    how: str | None
    reason: str


@dataclass(frozen=True)
class Layer:
    """One layer of the network, for counting.

    Attributes:
        name: As the builder calls it.
        kind: Its operation in ONNX.
        macs: Multiply-accumulates for one image.
        sources: Indices of the layers that it reads from.
        gpu: Why it is expected on the GPU; None: on DLA.
    """

    name: str
    kind: str
    macs: int
    sources: tuple[int, ...]
    gpu: str | None = None


@dataclass(frozen=True)
class DlaPlan:
    """What a builder needs to know of a network for DLA.

    Attributes:
        graph: Name of the graph among the artifact's files.
        scales: By tensor of that graph; empty in float16.
        half: Layers that have to be float16, by name; the others are int8 where there are scales.
        layers: All of them, each behind those that it reads from.
        max_transitions: More changes between GPU and DLA are refused; None: any number.
        weights: How far int8 weights move when TensorRT quantizes them itself, for people: int8
            ``channels``, those that stay ``exact``, ``largest_steps`` of their grid and
            ``relative_rms``; empty in float16.
    """

    graph: str
    scales: dict[str, float]
    half: tuple[str, ...]
    layers: tuple[Layer, ...]
    max_transitions: int | None
    weights: dict[str, float]

    def to_bytes(self) -> bytes:
        """Return the one way to write this plan."""
        document = {"format": _FORMAT, **asdict(self)}
        return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def dla_way(version: str) -> DlaWay:
    """Return how a version of TensorRT reaches DLA.

    Args:
        version: As ``tensorrt.__version__`` says it.
    """
    found = _VERSION.match(version)
    number = tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    if number < (8, 0, 0):
        return DlaWay(None, f"TensorRT {version} is older than any that is supported here")
    if number[:2] <= _LAST_IMPLICIT:
        return DlaWay("implicit", "a calibration cache and a graph without Q/DQ")
    if number < (11, 0, 0):
        return DlaWay(None, "TensorRT 10.7 was the last 10.x with DLA")
    if number < _FIRST_EXPLICIT:
        return DlaWay(None, "TensorRT 11.0 to 11.4.0 have no DLA on Jetson")
    return DlaWay("explicit", "Q/DQ in a strongly typed graph, since TensorRT 11.4.1")


def require_way(version: str) -> str:
    """Return ``implicit`` or ``explicit``.

    Raises:
        TargetError: This version does not reach DLA.
    """
    way = dla_way(version)
    if way.how is None:
        raise TargetError(
            f"dla: expected TensorRT 8.5 to 10.7, or 11.4.1 or newer, got {version}: {way.reason}; "
            "leave --dla-core out"
        )
    return way.how


def read_plan(artifact: Artifact) -> DlaPlan:
    """Return what an artifact says about DLA.

    Raises:
        TargetError: It says nothing.
        IntegrityError: What it says is damaged.
    """
    if DLA_PLAN not in artifact.manifest.files:
        raise TargetError(
            f"{artifact.folder}: expected an artifact that knows DLA, got one without {DLA_PLAN}; "
            "export it with --dla, or leave --dla-core out"
        )
    content = (artifact.folder / DLA_PLAN).read_bytes()
    plan = plan_from_bytes(content, str(artifact.folder / DLA_PLAN))
    if plan.graph not in artifact.manifest.files:
        raise IntegrityError(
            f"{artifact.folder / DLA_PLAN}: graph: expected one of the artifact's files, "
            f"got {plan.graph!r}; export it again"
        )
    return plan


def plan_from_bytes(content: bytes, where: str = DLA_PLAN) -> DlaPlan:
    """Return the plan that `DlaPlan.to_bytes` wrote.

    Raises:
        IntegrityError: It is none, damaged, or of another format.
    """
    fields = Fields.parse(content, where)
    version = fields.integer("format", 1)
    if version != _FORMAT:
        raise fields.error("format", str(_FORMAT), version)
    layers: list[Layer] = []
    for inner in fields.inner_list("layers"):
        layer = Layer(
            name=inner.text("name"),
            kind=inner.text("kind"),
            macs=inner.integer("macs", 0),
            sources=inner.indices("sources", len(layers)),
            gpu=inner.optional("gpu", inner.text),
        )
        inner.end()
        layers.append(layer)
    plan = DlaPlan(
        graph=fields.text("graph"),
        scales=fields.numbers_by_name("scales"),
        half=fields.texts("half"),
        layers=tuple(layers),
        max_transitions=fields.optional("max_transitions", lambda name: fields.integer(name, 0)),
        weights=fields.numbers_by_name("weights"),
    )
    fields.end()
    return plan

"""Which layers a builder put on DLA and which on the GPU, read from what it said.

TensorRT lists them once, when it has decided::

    [INFO] ---------- Layers Running on DLA ----------
    [INFO] [DlaLayer] {ForeignNode[backbone.stem.conv...head.scores.0]}
    [INFO] ---------- Layers Running on GPU ----------
    [INFO] [GpuLayer] SHUFFLE: node_view

Each line of DLA is one loadable and names its first and last layer only. Layers of the GPU are
named one by one, those that became one kernel together. So a layer that is named there is on the
GPU; another one that stands between the two names of a loadable is on DLA; of what is left nothing
is known, and that is said.

The lines were taken from published logs (see the tests), never from a build of our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from erpose_edge.runtime.tensorrt.dla import Layer

GPU, DLA = "gpu", "dla"
_LOADABLE = re.compile(r"\[DlaLayer\]\s*\{ForeignNode\[(.*)\]\}")
_ON_GPU = re.compile(r"\[GpuLayer\]\s*(.*)")
_HEADING = re.compile(r"Layers running on (?:DLA|GPU)", re.I)
_REFORMAT = re.compile(r"\bReformatting CopyNode\b|\bcopy\b", re.I)
# What the builder says of one layer that it moves; 8.5 and 8.6 first, then 8.6 to 10.x, then the
# one that there were too many loadables for.
_MOVED = (
    re.compile(r"layer (.+?) is not (?:supported|running) on DLA, falling back to GPU"),
    re.compile(r"Layer '(.+?)' \([A-Z_]+\): Unsupported on DLA"),
    re.compile(r"Validation failed for DLA layer: (\S+?)\. Switching"),
    re.compile(r"Switching to GPU for layer (\S+)"),
)
_NAME = re.compile(r"[\w./:\-]+")


@dataclass(frozen=True)
class BuilderLog:
    """What a builder said about DLA.

    Attributes:
        loadables: First and last layer of each, as named.
        on_gpu: Words of each line of a layer on the GPU.
        reformats: How many lines more only change the format of a tensor.
        moved: Layers that were meant for DLA and are on the GPU, as named.
        listed: There was a list at all.
    """

    loadables: tuple[tuple[str, str], ...]
    on_gpu: tuple[frozenset[str], ...]
    reformats: int
    moved: tuple[str, ...]
    listed: bool


@dataclass(frozen=True)
class Placement:
    """Where a network's layers run.

    Attributes:
        devices: ``dla`` or ``gpu`` by layer; layers of which nothing is known are left out.
        layers: How many there are.
        loadables: Parts that DLA was given.
        transitions: How often the network changes between GPU and DLA; see `transitions`.
        reformats: Kernels that only change the format of a tensor.
        dla_macs: Multiply-accumulates on DLA.
        gpu_macs: On the GPU.
        unknown_macs: Of layers of which nothing is known.
        moved: Layers that DLA did not take, by name.
        max_transitions: That are allowed; None: any number.
    """

    devices: Mapping[str, str]
    layers: int
    loadables: int
    transitions: int
    reformats: int
    dla_macs: int
    gpu_macs: int
    unknown_macs: int
    moved: tuple[str, ...]
    max_transitions: int | None

    @property
    def dla_share(self) -> float:
        """Multiply-accumulates on DLA, as a fraction of all."""
        return self.dla_macs / max(self.dla_macs + self.gpu_macs + self.unknown_macs, 1)

    def count(self, device: str) -> int:
        """Return how many layers run on ``dla`` or ``gpu``."""
        return sum(1 for where in self.devices.values() if where == device)

    def to_json(self) -> dict[str, Any]:
        """Return this as plain values."""
        return {
            "layers": {
                "dla": self.count(DLA),
                "gpu": self.count(GPU),
                "unknown": self.layers - len(self.devices),
            },
            "macs": {"dla": self.dla_macs, "gpu": self.gpu_macs, "unknown": self.unknown_macs},
            "dla_percent_of_macs": round(100 * self.dla_share, 2),
            "loadables": self.loadables,
            "transitions": self.transitions,
            "max_transitions": self.max_transitions,
            "reformats": self.reformats,
            "moved_to_gpu": list(self.moved),
            "devices": dict(self.devices),
        }

    def lines(self) -> list[str]:
        """Return this in words."""
        unknown = self.layers - len(self.devices)
        rest = f", {unknown} not named" if unknown else ""
        lines = [
            f"DLA: {self.count(DLA)} of {self.layers} layers in {self.loadables} parts, "
            f"{100 * self.dla_share:.1f} % of the multiply-accumulates; GPU: {self.count(GPU)} "
            f"layers{rest}; {self.transitions} changes between them, {self.reformats} reformats"
        ]
        if self.moved:
            lines.append(f"DLA did not take: {', '.join(self.moved)}")
        return lines

    def require(self) -> None:
        """Check that there are no more changes than allowed.

        Raises:
            TargetError: There are.
        """
        if self.max_transitions is not None and self.transitions > self.max_transitions:
            raise TargetError(
                f"dla: expected at most {self.max_transitions} changes between GPU and DLA, got "
                f"{self.transitions}; leave --dla-core out, or take this engine with --force"
            )


def read_log(text: str) -> BuilderLog:
    """Return what a builder's log says about DLA."""
    loadables: list[tuple[str, str]] = []
    on_gpu: list[frozenset[str]] = []
    moved: list[str] = []
    reformats, listed = 0, False
    for line in text.splitlines():
        listed = listed or _HEADING.search(line) is not None
        loadable, gpu = _LOADABLE.search(line), _ON_GPU.search(line)
        if loadable:
            first, separator, last = loadable.group(1).partition("...")
            loadables.append((first, last if separator else first))
        elif gpu:
            if _REFORMAT.search(gpu.group(1)):  # it names the layer that it works for
                reformats += 1
            else:
                on_gpu.append(frozenset(_NAME.findall(gpu.group(1))))
        for pattern in _MOVED:
            found = pattern.search(line)
            if found and found.group(1) not in moved:
                moved.append(found.group(1))
    return BuilderLog(tuple(loadables), tuple(on_gpu), reformats, tuple(moved), listed)


def placement(log: BuilderLog, layers: Sequence[Layer], allowed: int | None) -> Placement:
    """Return where each layer runs.

    Args:
        log: As `read_log` returns it.
        layers: Of the network, in an order in which they can run.
        allowed: Changes between GPU and DLA; None: any number.

    Raises:
        TargetError: The log has no list of layers.
    """
    if not log.listed:
        raise TargetError(
            "dla: expected the builder to list the layers on DLA and on the GPU, got no list; "
            "read the log, and leave --dla-core out"
        )
    words = {word for line in log.on_gpu for word in line}
    places = {layer.name: index for index, layer in enumerate(layers)}
    ranges = [
        sorted((places[first], places[last]))
        for first, last in log.loadables
        if first in places and last in places
    ]
    devices: dict[str, str] = {}
    for index, layer in enumerate(layers):
        if layer.name in words:
            devices[layer.name] = GPU
        elif any(low <= index <= high for low, high in ranges):
            devices[layer.name] = DLA
    names = {layer.name for layer in layers}
    moved = tuple(name for name in log.moved if name in names)
    return _counted(layers, devices, len(log.loadables), log.reformats, moved, allowed)


def expected_placement(layers: Sequence[Layer], allowed: int | None) -> Placement:
    """Return where each layer should run by the rules that are known of DLA.

    Loadables and reformats are the builder's affair; they are counted as 0.
    """
    devices = {layer.name: DLA if layer.gpu is None else GPU for layer in layers}
    moved = tuple(layer.name for layer in layers if layer.gpu is not None)
    return _counted(layers, devices, 0, 0, moved, allowed)


def transitions(layers: Sequence[Layer], devices: Mapping[str, str]) -> int:
    """Return how often the network has to change between GPU and DLA.

    The smallest number with which the layers can run in order: as many as can be run on one device
    before it changes to the other. Layers of which nothing is known run on either.
    """
    colours = {devices[layer.name] for layer in layers if layer.name in devices}
    return min((_changes(layers, devices, start) for start in sorted(colours)), default=0)


def _changes(layers: Sequence[Layer], devices: Mapping[str, str], device: str) -> int:
    waiting, changes = list(range(len(layers))), 0
    ready: set[int] = set()
    while waiting:
        left = []
        for index in waiting:
            layer = layers[index]
            here = devices.get(layer.name, device) == device
            if here and all(source in ready for source in layer.sources):
                ready.add(index)
            else:
                left.append(index)
        if left:
            changes, device = changes + 1, GPU if device == DLA else DLA
        waiting = left
    return changes


def _counted(
    layers: Sequence[Layer],
    devices: dict[str, str],
    loadables: int,
    reformats: int,
    moved: Iterable[str],
    allowed: int | None,
) -> Placement:
    macs = {DLA: 0, GPU: 0, "unknown": 0}
    for layer in layers:
        macs[devices.get(layer.name, "unknown")] += layer.macs
    return Placement(
        devices=devices,
        layers=len(layers),
        loadables=loadables,
        transitions=transitions(layers, devices),
        reformats=reformats,
        dla_macs=macs[DLA],
        gpu_macs=macs[GPU],
        unknown_macs=macs["unknown"],
        moved=tuple(moved),
        max_transitions=allowed,
    )

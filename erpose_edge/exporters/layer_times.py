"""Measured times of every convolution in fp32 and in int8, and what a policy costs by them.

OpenVINO counts the time of every layer of its execution graph and names the layers that were fused
into it, by which a time finds its convolution. What has none is a boundary, where a tensor changes
between float and int8, or belongs to the rest: Concat, upsampling, decoding.

Ref: https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/general-optimizations.html
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, fx, nn

from erpose_edge.errors import ExportError
from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.quantization.sensitivity.variants import next_convolutions
from erpose_edge.runtime.runner import open_runner

if TYPE_CHECKING:
    import openvino

    from erpose_edge.runtime.artifact import Artifact

    Progress = Callable[[int, int], None]

_WARM_UP = 3
_REPETITIONS = 30
# Layers of the execution graph that do nothing but change type or order.
_REFORMATS = ("Reorder", "Convert", "FakeQuantize")
_CONVOLUTION_OF_TWO = "/WithoutBiases"


@dataclass(frozen=True)
class ArtifactTimes:
    """Medians over repetitions of one artifact, in ms.

    Attributes:
        convolutions: By name, with all that was fused into it.
        boundary_ms: Of all changes between float and int8.
        rest_ms: Of everything else.
    """

    convolutions: dict[str, float]
    boundary_ms: float
    rest_ms: float


@dataclass(frozen=True)
class LayerTimes:
    """Times of one network's layers, measured in turns.

    Attributes:
        fp32: Of the float artifact.
        int8: Of the one under the weights' policy.
        engine: What ran it.
        threads: With how many.
    """

    fp32: ArtifactTimes
    int8: ArtifactTimes
    engine: str
    threads: int


class LatencyModel:
    """Time of a network by the precision of its convolutions.

    Convolutions add up. A tensor whose maker and readers differ in precision costs by its elements
    what all such tensors of the int8 artifact cost together; the rest goes from its time in fp32 to
    that in int8 with the share of the work that is int8.

    Args:
        times: Measured.
        network: As `prepare` returned it; its int8 layers are those of the int8 artifact.
        input_size: (height, width) in pixels.

    Raises:
        ExportError: A convolution of the network is not among the times.
    """

    def __init__(
        self, times: LayerTimes, network: fx.GraphModule, input_size: tuple[int, int]
    ) -> None:
        self._times = times
        self._next = next_convolutions(network)
        known = times.fp32.convolutions.keys() & times.int8.convolutions.keys()
        missing = [name for name in self._next if name not in known]
        if missing:
            raise ExportError(
                f"layer times: {missing[0]}: expected a time in fp32 and one in int8, got none "
                f"(nor for {len(missing) - 1} more); export both from this network"
            )
        self._elements = _elements(network, input_size)
        int8 = frozenset(quantized_convolutions(network))
        self._work = sum(times.fp32.convolutions[name] for name in int8)
        crossing = self._crossing(int8)
        self._element_ms = times.int8.boundary_ms / crossing if crossing else 0.0

    def __call__(self, int8: Collection[str]) -> float:
        """Return the modelled time with the convolutions ``int8`` in int8, ms."""
        chosen = frozenset(int8)
        fp32, small = self._times.fp32, self._times.int8
        own = sum((small if name in chosen else fp32).convolutions[name] for name in self._next)
        share = sum(fp32.convolutions[name] for name in chosen) / self._work
        rest = fp32.rest_ms + share * (small.rest_ms - fp32.rest_ms)
        return own + rest + self._element_ms * self._crossing(chosen)

    def _crossing(self, int8: frozenset[str]) -> int:
        """Return the elements of all tensors whose maker and readers differ in precision."""
        return sum(
            self._elements[name]
            for name, readers in self._next.items()
            if any((reader in int8) != (name in int8) for reader in readers)
        )


def measure_layers(
    fp32: Artifact, int8: Artifact, threads: int | None = None, progress: Progress | None = None
) -> LayerTimes:
    """Time every layer of two artifacts for OpenVINO in turns on this machine.

    Args:
        fp32: Of a network.
        int8: Of the same one.
        threads: Of the engine; its own choice by default.
        progress: Called with the turns done and their number.
    """
    profilers = [_Profiler(artifact, threads) for artifact in (fp32, int8)]
    for turn in range(_REPETITIONS):
        for profiler in profilers:
            profiler.turn()
        if progress:
            progress(turn + 1, _REPETITIONS)
    first, second = (profiler.times() for profiler in profilers)
    return LayerTimes(first, second, profilers[0].engine, profilers[0].threads)


def measure_end_to_end(
    artifacts: Mapping[str, Artifact], threads: int | None = None
) -> dict[str, float]:
    """Return the median time of each network without the counters, run in turns, ms."""
    runners = {name: open_runner(artifact, threads) for name, artifact in artifacts.items()}
    images = {name: _images(artifact) for name, artifact in artifacts.items()}
    spent: dict[str, list[float]] = {name: [] for name in artifacts}
    for _ in range(_WARM_UP + _REPETITIONS):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner.run(images[name])
            spent[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values[_WARM_UP:]) for name, values in spent.items()}


class _Profiler:
    """Runs one artifact with the engine's counters on."""

    def __init__(self, artifact: Artifact, threads: int | None) -> None:
        import openvino as ov

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # as the runner compiles it
            "PERF_COUNT": True,
            **({} if threads is None else {"INFERENCE_NUM_THREADS": threads}),
        }
        compiled = ov.Core().compile_model(artifact.file(".xml", ".onnx"), "CPU", settings)
        self.engine = f"OpenVINO {ov.__version__.split('-')[0]}"
        self.threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))
        self._layers = {
            layer.get_friendly_name(): layer
            for layer in compiled.get_runtime_model().get_ordered_ops()
        }
        self._request = compiled.create_infer_request()
        self._images = _images(artifact)
        self._request.set_input_tensor(ov.Tensor(self._images, shared_memory=True))
        self._spent_us: dict[str, list[float]] = {}
        for _ in range(_WARM_UP):
            self._request.infer()

    def turn(self) -> None:
        self._request.infer()
        for layer in self._request.get_profiling_info():
            spent = self._spent_us.setdefault(layer.node_name, [])
            spent.append(1e6 * layer.real_time.total_seconds())

    def times(self) -> ArtifactTimes:
        convolutions: dict[str, float] = {}
        boundary_ms = rest_ms = 0.0
        for name, spent in self._spent_us.items():
            median_ms = statistics.median(spent) / 1e3
            layer = self._layers.get(name)
            made_of = [] if layer is None else _convolutions(layer)
            if made_of:
                # Convolutions that became one layer: to the first, so that the sum stays right.
                convolutions[made_of[0]] = convolutions.get(made_of[0], 0.0) + median_ms
                convolutions.update(dict.fromkeys(made_of[1:], 0.0))
            elif layer is not None and _changes_type(layer):
                boundary_ms += median_ms
            else:
                rest_ms += median_ms
        return ArtifactTimes(convolutions, boundary_ms, rest_ms)


def _convolutions(layer: openvino.Node) -> list[str]:
    """Return the convolutions that ``layer`` of an execution graph was made of, by module name."""
    facts = layer.get_rt_info()
    if not facts["layerType"].astype(str).endswith("Convolution"):
        return []
    originals = facts["originalLayersNames"].astype(str).split(",")
    marked = [name for name in originals if name.endswith(_CONVOLUTION_OF_TWO)]
    return [name.removesuffix(_CONVOLUTION_OF_TWO) for name in (marked or originals[:1])]


def _changes_type(layer: openvino.Node) -> bool:
    if layer.get_rt_info()["layerType"].astype(str) not in _REFORMATS:
        return False
    before, after = layer.get_input_element_type(0), layer.get_output_element_type(0)
    return before.is_real() != after.is_real()


def _images(artifact: Artifact) -> np.ndarray:
    """Return an input with values of an image's range, (1, 3, H, W)."""
    shape = artifact.manifest.input.shape
    return np.random.Generator(np.random.PCG64(0)).random(shape, np.float32)


def _elements(network: fx.GraphModule, input_size: tuple[int, int]) -> dict[str, int]:
    """Return the elements of what every convolution makes, by its name."""
    found: dict[str, int] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):

            def count(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
                found[name] = output.numel()

            hooks.append(module.register_forward_hook(count))
    with torch.inference_mode():
        network(torch.zeros(1, 3, *input_size))
    for hook in hooks:
        hook.remove()
    return found

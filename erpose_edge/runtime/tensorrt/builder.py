"""The process that builds an engine: its memory and its end are its own.

`erpose_edge.runtime.tensorrt.build` starts it, writes one `BuildJob` to its standard input, and
reads what it reports from a pipe; standard output and error, with all that TensorRT and the
drivers below it say, go to the log. When the other process ends, so does this one.

The code takes the module of TensorRT as an argument. It was run with tensorrt-rtx 1.7, which has
the interface of TensorRT 10 and 11 without the precision flags; the way of 8.5 to 10.x was only
run against a stand-in with the names of those versions, never with TensorRT itself or on a GPU.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import TargetError
from erpose_edge.runtime.files import write_whole
from erpose_edge.runtime.tensorrt.dla import DlaPlan, plan_from_bytes
from erpose_edge.runtime.tensorrt.dla_network import use_dla
from erpose_edge.runtime.tensorrt.versions import KEPT_ERRORS, Abilities, message_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REFUSED = 3  # exit code when TensorRT said no; what it said was reported
_NO_MEMORY = re.compile(
    r"out of memory|outofmemory|nvmapmem|memoryallocation|failed to allocate|bad_alloc", re.I
)
# Layers whose data are not numbers of the network, or whose type the graph says itself.
_UNTYPED = ("CONSTANT", "SHAPE", "QUANTIZE", "DEQUANTIZE", "CAST")
_STDIN = 0


@dataclass(frozen=True)
class BuildJob:
    """What to build, in words that go through a pipe.

    Attributes:
        module: Name of the TensorRT module.
        onnx: Path of the graph.
        engine: Path to write; its folder is there.
        typing: ``weak`` or ``strong``.
        flags: As `builder_flags` returns them.
        workspace_bytes: That kernels may take for themselves.
        tensors: Shape of every input and output by name; all are float32.
        timing_cache: Path of kernel timings to read and write; None for none.
        dla_core: Number of the DLA core; None for the GPU.
        dla_plan: Path of what the artifact says about DLA; None where it says nothing.
        optimization_level: 0 to 5; None for the builder's own.
        report: Descriptor of the pipe to report to.
    """

    module: str
    onnx: str
    engine: str
    typing: str
    flags: list[str]
    workspace_bytes: int
    tensors: dict[str, list[int]]
    timing_cache: str | None = None
    dla_core: int | None = None
    dla_plan: str | None = None
    optimization_level: int | None = None
    report: int | None = None

    def to_line(self) -> bytes:
        """Return this job as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"


def build(trt: Any, job: BuildJob, report: Callable[[dict[str, Any]], None]) -> None:  # noqa: ANN401
    """Build an engine and write it.

    Args:
        trt: The module of TensorRT.
        job: What to build.
        report: Told ``{"phase": name, "done": n, "of": m}`` as the builder advances.

    Raises:
        TargetError: TensorRT refuses the graph, cannot build it, or its tensors are not the job's.
    """
    log = message_log(trt, sys.stderr.write)
    abilities = Abilities.of(trt)
    builder = trt.Builder(log)
    network = builder.create_network(_creation_flags(trt, abilities, job.typing))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(Path(job.onnx).read_bytes()):
        said = [_parser_error(parser.get_error(i)) for i in range(parser.num_errors)]
        raise _refusal(abilities, "parse the graph", said)
    _check(trt, network, job)
    if "OBEY_PRECISION_CONSTRAINTS" in job.flags:
        keep_decode_float(trt, network)
    config = builder.create_builder_config()
    _configure(trt, config, job, builder.num_DLA_cores)
    if job.dla_core is not None:
        use_dla(trt, network, config, _plan(job), decode_layers(trt, network))
    if abilities.progress:
        config.progress_monitor = _monitor(trt, report)
    kept = Path(job.timing_cache) if job.timing_cache else None
    if kept:
        _load_timings(config, kept)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refusal(abilities, "build the engine", log.errors)
    if kept:
        write_whole(kept, bytes(config.get_timing_cache().serialize()))
    write_whole(Path(job.engine), bytes(plan))


def _parser_error(error: Any) -> str:  # noqa: ANN401 - TensorRT's
    operator = f"{error.node_operator()}: " if hasattr(error, "node_operator") else ""
    return f"{operator}{error.desc()}"


def keep_decode_float(trt: Any, network: Any) -> None:  # noqa: ANN401 - TensorRT's
    """Ask for float32 behind the last convolutions, where a builder may choose.

    In half precision a coordinate near 640 has steps of half a pixel.
    """
    for layer in decode_layers(trt, network):
        layer.precision = trt.DataType.FLOAT
        for position in range(layer.num_outputs):
            if layer.get_output(position).dtype == trt.DataType.FLOAT:
                layer.set_output_type(position, trt.DataType.FLOAT)


def decode_layers(trt: Any, network: Any) -> list[Any]:  # noqa: ANN401 - TensorRT's
    """Return the float layers that no convolution comes after.

    They turn what the head's last convolutions give into probabilities and pixels, and pick the
    best.
    """
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    feeds: set[str] = set()  # tensors that lead to a convolution
    known = -1
    while known != len(feeds):  # not every parser adds layers behind those that they read from
        known = len(feeds)
        for layer in reversed(layers):
            if layer.type == trt.LayerType.CONVOLUTION or feeds.intersection(_outputs(layer)):
                tensors = [layer.get_input(i) for i in range(layer.num_inputs)]
                feeds |= {tensor.name for tensor in tensors if tensor is not None}
    others = [getattr(trt.LayerType, name) for name in _UNTYPED if hasattr(trt.LayerType, name)]
    others.append(trt.LayerType.CONVOLUTION)
    return [
        layer
        for layer in layers
        if layer.type not in others
        and layer.get_output(0).dtype == trt.DataType.FLOAT
        and not feeds.intersection(_outputs(layer))
    ]


def _outputs(layer: Any) -> list[str]:  # noqa: ANN401 - TensorRT's
    return [layer.get_output(i).name for i in range(layer.num_outputs)]


def _creation_flags(trt: Any, abilities: Abilities, typing: str) -> int:  # noqa: ANN401
    names = trt.NetworkDefinitionCreationFlag
    flags = 1 << int(names.EXPLICIT_BATCH) if abilities.explicit_batch else 0
    if typing == "strong":
        flags |= 1 << int(names.STRONGLY_TYPED)
    return flags


def _check(trt: Any, network: Any, job: BuildJob) -> None:  # noqa: ANN401 - TensorRT's
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    tensors = inputs + [network.get_output(i) for i in range(network.num_outputs)]
    check_tensors({t.name: (tuple(t.shape), t.dtype == trt.DataType.FLOAT) for t in tensors}, job)


def check_tensors(found: Mapping[str, tuple[tuple[int, ...], bool]], job: BuildJob) -> None:
    """Compare inputs and outputs with the job's.

    Args:
        found: Shape by name, and whether it is float32.
        job: What they have to be.

    Raises:
        TargetError: One is missing, too many, or of another shape or type.
    """
    for name in sorted({*found, *job.tensors}):
        wanted = job.tensors.get(name)
        shape, is_float = found.get(name, (None, False))
        if wanted is None or shape != tuple(wanted) or not is_float:
            expected = f"float32 {tuple(wanted)}" if wanted is not None else "no such tensor"
            got = f"{'float32' if is_float else 'another type'} {shape}" if shape else "none"
            raise TargetError(
                f"{job.onnx}: {name}: expected {expected} as the manifest says, got {got}; "
                "export the artifact again"
            )


def _configure(trt: Any, config: Any, job: BuildJob, dla_cores: int) -> None:  # noqa: ANN401
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.workspace_bytes)
    # So that the engine can say in which precision each layer runs, not its name only.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for flag in job.flags:
        if flag.startswith("-"):
            config.clear_flag(getattr(trt.BuilderFlag, flag[1:]))
        else:
            config.set_flag(getattr(trt.BuilderFlag, flag))
    if job.optimization_level is not None:
        config.builder_optimization_level = job.optimization_level
    if job.dla_core is not None:
        if not 0 <= job.dla_core < dla_cores:
            raise TargetError(
                f"dla_core: expected one of {dla_cores}, got {job.dla_core}; "
                "leave it out where the board or this TensorRT has none"
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = job.dla_core


def _plan(job: BuildJob) -> DlaPlan | None:
    path = Path(job.dla_plan) if job.dla_plan else None
    return None if path is None else plan_from_bytes(path.read_bytes(), str(path))


def _load_timings(config: Any, path: Path) -> None:  # noqa: ANN401 - TensorRT's
    content = path.read_bytes() if path.is_file() else b""
    # TensorRT refuses timings of another version or GPU: then it starts with none.
    if not config.set_timing_cache(config.create_timing_cache(content), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _refusal(abilities: Abilities, what: str, said: list[str]) -> TargetError:
    lines = [" ".join(text.split()) for text in said[-KEPT_ERRORS:] if text.strip()]
    return TargetError(
        f"tensorrt: expected TensorRT {abilities.version} to {what}, "
        f"got: {' | '.join(lines) or 'no reason'}; read the log"
    )


def _monitor(trt: Any, report: Callable[[dict[str, Any]], None]) -> Any:  # noqa: ANN401
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Tells how many steps of which phase are done; called from several threads."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            del parent_phase
            self._steps[phase_name] = num_steps
            report({"phase": phase_name, "done": 0, "of": num_steps})

        def step_complete(self, phase_name: str, step: int) -> bool:
            report({"phase": phase_name, "done": step + 1, "of": self._steps.get(phase_name, 0)})
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()


def _read_job() -> BuildJob:
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(_STDIN, 1 << 16)
        if not more:
            sys.exit("no job on standard input: start erpose_edge.runtime.tensorrt.build instead")
        line += more
    return BuildJob(**json.loads(line))


def _end_with_parent() -> None:
    """Wait until standard input closes, which is when the process that asked has ended."""
    while os.read(_STDIN, 1):
        pass
    os._exit(1)


def main() -> int:
    """Build what standard input says."""
    job = _read_job()
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(what: dict[str, Any]) -> None:
        if job.report is not None:
            os.write(job.report, json.dumps(what).encode() + b"\n")

    try:
        build(importlib.import_module(job.module), job, report)
    except TargetError as error:
        memory = _NO_MEMORY.search(str(error)) is not None
        report({"failed": str(error), "memory": memory})
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())

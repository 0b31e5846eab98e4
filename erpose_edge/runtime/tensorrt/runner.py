"""Run an artifact with the TensorRT of this device, 8.5 (JetPack 5.1) to 11.

The engine is the one that was built here before, or it is built now. One stream does everything in
order: copy the input to the GPU, compute, copy the outputs back. Events around each of the three
time them apart, so that a latency can be told from a copy.

Never run on a GPU: all of it was run against stand-ins of CUDA and TensorRT only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import RequestError, TargetError
from erpose_edge.runtime.runner import check_images, check_tensors
from erpose_edge.runtime.tensorrt.build import (
    BuildOptions,
    engine_for,
    manifest_tensors,
    tensorrt_module,
)
from erpose_edge.runtime.tensorrt.cuda import (
    DeviceMemory,
    Event,
    Graph,
    Stream,
    gpu_facts,
    pinned_array,
)
from erpose_edge.runtime.tensorrt.cuda_library import CudaLibrary
from erpose_edge.runtime.tensorrt.process import say
from erpose_edge.runtime.tensorrt.versions import message_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact

STEPS = ("h2d", "compute", "d2h")


class TensorrtRunner:
    """`Runner` for an artifact of the engine ``tensorrt``.

    Attributes:
        engine: Its name and version, for reports.
        threads: 1: the GPU computes, one thread waits for it.
        gpu: Facts of the GPU.
        engine_path: Of the engine in the cache.
        graphed: The computation is launched as one CUDA graph.
    """

    def __init__(
        self,
        artifact: Artifact,
        threads: int | None = None,
        *,
        options: BuildOptions | None = None,
        cuda_graph: bool = True,
        library: CudaLibrary | None = None,
        tell: Callable[[str], None] = say,
    ) -> None:
        """Load the engine, and build it first if it has to be.

        Args:
            artifact: As `read_artifact` returns it.
            threads: Left out, because the GPU has no such thing.
            options: How engines are built.
            cuda_graph: Launch the computation as one, if TensorRT lets it be recorded.
            library: The CUDA runtime; the one of this device by default.
            tell: Takes lines for the user.

        Raises:
            RequestError: ``threads`` was given.
            MissingExtraError: TensorRT is not installed.
            TargetError: There is no CUDA or no GPU, or TensorRT refuses the network.
            IntegrityError: The engine's inputs or outputs are not the ones of the manifest.
        """
        if threads is not None:
            raise RequestError(f"threads: expected none for TensorRT, got {threads}; leave it out")
        trt = tensorrt_module()
        library = CudaLibrary() if library is None else library
        self.gpu = gpu_facts(library)
        self.engine = f"TensorRT {trt.__version__}"
        self.threads = 1
        self._trt, self._log = trt, message_log(trt)
        self._runtime = trt.Runtime(self._log)  # engines need it alive
        if options is not None and options.dla_core is not None:
            self._runtime.DLA_core = options.dla_core  # the engine does not say which
        self.engine_path = engine_for(artifact, trt, self.gpu, options, tell)
        self._engine = self._load()
        if self._engine is None:  # what the key does not know has changed, a driver for example
            tell(f"engine {self.engine_path}: {self.engine} does not load it any more")
            self._log.errors.clear()
            again = replace(options or BuildOptions(), again=True)
            self.engine_path = engine_for(artifact, trt, self.gpu, again, tell)
            self._engine = self._load()
        if self._engine is None:
            raise self._refusal("load the engine")
        self._check(artifact)
        manifest = artifact.manifest
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._refusal("run the engine")
        self._stream = Stream(library)
        self._events = [Event(library) for _ in range(len(STEPS) + 1)]
        self._host = {
            name: pinned_array(library, tuple(shape), np.float32)
            for name, shape in manifest_tensors(artifact).items()
        }
        self._device = {name: DeviceMemory(library, a.nbytes) for name, a in self._host.items()}
        for name, memory in self._device.items():
            if not self._context.set_tensor_address(name, memory.handle):
                raise self._refusal(f"take memory for {name}")
        self._input, self._size = manifest.input.name, manifest.input_size
        self._outputs = {spec.name: self._host[spec.name] for spec in manifest.outputs}
        self._graph: Graph | None = None
        self._ran = False
        if cuda_graph:
            self._record(tell)

    @property
    def graphed(self) -> bool:
        """Whether the computation is launched as one CUDA graph."""
        return self._graph is not None

    @property
    def timings_ms(self) -> dict[str, float]:
        """How long copying in, computing and copying out took in the last run, by `STEPS`.

        Raises:
            RequestError: Nothing was run yet.
        """
        if not self._ran:
            raise RequestError("timings_ms: expected a run before, got none; call run first")
        pairs = zip(STEPS, self._events, self._events[1:])
        return {step: end.elapsed_ms(begin) for step, begin, end in pairs}

    @property
    def gpu_bytes(self) -> int:
        """Memory of the GPU that this runner knows of: tensors, activations, about the weights.

        Ref: https://docs.nvidia.com/deeplearning/tensorrt/11.0.0/_static/python-api/infer/Core/Engine.html;
        the name without ``_v2`` is that of versions before 10.1.
        """
        engine = self._engine
        newer = getattr(engine, "device_memory_size_v2", None)
        activations = int(engine.device_memory_size if newer is None else newer)
        tensors = sum(memory.size for memory in self._device.values())
        return tensors + activations + self.engine_path.stat().st_size

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; see `Runner.run`.

        Raises:
            ImageError: ``images`` is of another shape.
            TargetError: CUDA or TensorRT failed.
        """
        target = self._host[self._input]
        check_images(images, self._size)
        np.copyto(target, images)
        begin, copied, computed, end = self._events
        self._stream.record(begin)
        self._stream.to_device(self._device[self._input], target)
        self._stream.record(copied)
        if self._graph is None:
            self._enqueue()
        else:
            self._graph.launch(self._stream)
        self._stream.record(computed)
        for name, array in self._outputs.items():
            self._stream.to_host(array, self._device[name])
        self._stream.record(end)
        self._stream.synchronize()
        self._ran = True
        return self._outputs

    def layer_information(self) -> str:
        """Return what the engine's inspector says of its layers, as JSON.

        Of engines that were built without details it knows the names only.
        """
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def close(self) -> None:
        """Free what is the GPU's; the arrays that were returned stay good."""
        self._stream.synchronize()
        for owned in (self._graph, *self._events, *self._device.values(), self._stream):
            if owned is not None:
                owned.close()

    def __enter__(self) -> TensorrtRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._refusal("start the computation")

    def _record(self, tell: Callable[[str], None]) -> None:
        """Record the computation as a graph; say so if that cannot be done."""
        self._enqueue()  # the first one still prepares things, which cannot be recorded
        self._stream.synchronize()
        try:
            self._graph = self._stream.capture(self._enqueue)
        except TargetError as error:
            tell(f"CUDA graph: not used, each kernel is launched by itself: {error}")

    def _load(self) -> Any:  # noqa: ANN401 - TensorRT's
        return self._runtime.deserialize_cuda_engine(self.engine_path.read_bytes())

    def _check(self, artifact: Artifact) -> None:
        """Compare the engine's inputs and outputs with the manifest's."""
        trt, engine = self._trt, self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        outputs = [n for n in names if n not in inputs]
        check_tensors(artifact, inputs, outputs)
        wanted = {name: tuple(shape) for name, shape in manifest_tensors(artifact).items()}
        for name in names:
            shape = tuple(engine.get_tensor_shape(name))
            kind = engine.get_tensor_dtype(name)
            if wanted.get(name) != shape or kind != trt.DataType.FLOAT:
                raise TargetError(
                    f"{self.engine_path}: {name}: expected float32 {wanted.get(name)} as the "
                    f"manifest says, got {kind} {shape}; remove the file, it is built again"
                )

    def _refusal(self, what: str) -> TargetError:
        said = " | ".join(self._log.errors)
        return TargetError(
            f"{self.engine}: expected it to {what}, got: {said or 'no reason'}; remove "
            f"{self.engine_path} to have it built again"
        )

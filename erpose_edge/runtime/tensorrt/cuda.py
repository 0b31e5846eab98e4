"""A GPU's memory, streams, events and graphs, each freed once and at the latest with its owner.

Copies run on a stream and return at once: nothing that they read or write may be touched before
`Stream.synchronize`. For that they need pinned memory, which the operating system does not move.

On a Jetson the GPU has no memory of its own: a copy goes from main memory to main memory. Pinned
memory could be handed to the GPU as it is, but older boards do not cache it, so it is copied there
like everywhere else. Neither way has been timed on a Jetson, and nothing here was run on one.

Ref: https://docs.nvidia.com/cuda/cuda-for-tegra-appnote/
"""

from __future__ import annotations

import ctypes
import weakref
from ctypes import byref, c_float, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import TargetError
from erpose_edge.runtime.tensorrt.cuda_library import CudaLibrary

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# cudaDeviceAttr; see the CUDA runtime's reference.
_MULTIPROCESSORS = 16
_INTEGRATED = 18
_CAPABILITY_MAJOR = 75
_CAPABILITY_MINOR = 76
# The structure of cudaGetDeviceProperties grows with every version, its name comes first in all.
_PROPERTIES_BYTES = 16384
_NAME_BYTES = 256

_HOST_TO_DEVICE = 1
_DEVICE_TO_HOST = 2
_NON_BLOCKING = 1
_THREAD_LOCAL = 1


@dataclass(frozen=True)
class GpuFacts:
    """What is known of a GPU.

    Attributes:
        name: As the driver calls it.
        compute_capability: (major, minor), for example (8, 7).
        multiprocessors: Their number: boards of one compute capability differ in it.
        integrated: It shares the main memory, as on a Jetson.
        free_bytes: Of its memory; on a Jetson this leaves out what the system could give back.
        total_bytes: Of its memory.
    """

    name: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    integrated: bool
    free_bytes: int
    total_bytes: int


class Owned:
    """Something of CUDA's that has to be freed; ``close`` may be called twice."""

    def __init__(self, library: CudaLibrary, handle: int, free: str) -> None:
        self.handle = handle
        self._library = library
        self._free = weakref.finalize(self, library.release, free, handle)

    def close(self) -> None:
        """Free it, if that has not been done."""
        self._free()

    def __enter__(self) -> Any:  # noqa: ANN401 - the subclass
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DeviceMemory(Owned):
    """Memory of the GPU.

    Attributes:
        size: In bytes.
    """

    def __init__(self, library: CudaLibrary, size: int) -> None:
        self.size = size
        super().__init__(library, _new(library, "cudaMalloc", size), "cudaFree")


class Event(Owned):
    """A point in a stream's work, with the time at which the GPU came there."""

    def __init__(self, library: CudaLibrary) -> None:
        handle = _new(library, "cudaEventCreateWithFlags", 0)
        super().__init__(library, handle, "cudaEventDestroy")

    def elapsed_ms(self, since: Event) -> float:
        """Return the time from ``since`` to this event; both must have passed."""
        found = c_float()
        self._library.call("cudaEventElapsedTime", byref(found), since.handle, self.handle)
        return float(found.value)


class Graph(Owned):
    """Recorded work that is launched as one."""

    def launch(self, stream: Stream) -> None:
        """Put the work into a stream."""
        self._library.call("cudaGraphLaunch", self.handle, stream.handle)


class Stream(Owned):
    """A queue of work that the GPU does in order."""

    def __init__(self, library: CudaLibrary) -> None:
        handle = _new(library, "cudaStreamCreateWithFlags", _NON_BLOCKING)
        super().__init__(library, handle, "cudaStreamDestroy")

    def to_device(self, target: DeviceMemory, source: NDArray[Any]) -> None:
        """Copy an array into the GPU's memory; they are of one size."""
        _check(source, target)
        self._copy(target.handle, source.ctypes.data, target.size, _HOST_TO_DEVICE)

    def to_host(self, target: NDArray[Any], source: DeviceMemory) -> None:
        """Copy the GPU's memory into an array; they are of one size."""
        _check(target, source)
        self._copy(target.ctypes.data, source.handle, source.size, _DEVICE_TO_HOST)

    def record(self, event: Event) -> None:
        """Put an event behind the work so far."""
        self._library.call("cudaEventRecord", event.handle, self.handle)

    def synchronize(self) -> None:
        """Wait until all the work is done."""
        self._library.call("cudaStreamSynchronize", self.handle)

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record what ``work`` puts into this stream, without doing it.

        Raises:
            TargetError: Something in it cannot be recorded. The stream can be used all the same.
        """
        library = self._library
        library.call("cudaStreamBeginCapture", self.handle, _THREAD_LOCAL)
        graph = c_void_p()
        try:
            try:
                work()
            finally:
                library.call("cudaStreamEndCapture", self.handle, byref(graph))
            handle = _new(library, "cudaGraphInstantiateWithFlags", graph, 0)
        except TargetError:
            library.forget_error()
            raise
        finally:
            if graph.value:
                library.release("cudaGraphDestroy", graph.value)
        return Graph(library, handle, "cudaGraphExecDestroy")

    def _copy(self, target: int, source: int, size: int, direction: int) -> None:
        self._library.call("cudaMemcpyAsync", target, source, size, direction, self.handle)


def pinned_array(library: CudaLibrary, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    """Return an array in pinned memory, zeros; it is freed with the last view of it."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    address = _new(library, "cudaHostAlloc", size, 0)
    # A class of its own, because plain arrays of ctypes take no weak references.
    kept: Any = type("PinnedMemory", (ctypes.c_ubyte * size,), {})
    owner = kept.from_address(address)
    weakref.finalize(owner, library.release, "cudaFreeHost", address)
    array: NDArray[Any] = np.frombuffer(owner, kind).reshape(shape)
    array.fill(0)
    return array


def gpu_facts(library: CudaLibrary, device: int = 0) -> GpuFacts:
    """Return what there is to know of a GPU, and make it this thread's.

    Raises:
        TargetError: There is no such GPU, or it cannot be used.
    """
    count = c_int()
    library.call("cudaGetDeviceCount", byref(count))
    if not 0 <= device < count.value:
        raise TargetError(
            f"gpu: expected one of {count.value}, got number {device}; choose another"
        )
    library.call("cudaSetDevice", device)
    properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
    library.call("cudaGetDeviceProperties", properties, device)
    free, total = c_size_t(), c_size_t()
    library.call("cudaMemGetInfo", byref(free), byref(total))

    def attribute(which: int) -> int:
        found = c_int()
        library.call("cudaDeviceGetAttribute", byref(found), which, device)
        return found.value

    return GpuFacts(
        name=properties.raw[:_NAME_BYTES].split(b"\0")[0].decode(errors="replace"),
        compute_capability=(attribute(_CAPABILITY_MAJOR), attribute(_CAPABILITY_MINOR)),
        multiprocessors=attribute(_MULTIPROCESSORS),
        integrated=bool(attribute(_INTEGRATED)),
        free_bytes=free.value,
        total_bytes=total.value,
    )


def _new(library: CudaLibrary, name: str, *arguments: Any) -> int:  # noqa: ANN401 - what C takes
    """Return the handle that a function writes to its first argument."""
    handle = c_void_p()
    library.call(name, byref(handle), *arguments)
    return handle.value or 0


def _check(array: NDArray[Any], memory: DeviceMemory) -> None:
    if array.nbytes != memory.size or not array.flags.c_contiguous:
        raise TargetError(
            f"copy: expected {memory.size} bytes one after the other, got {array.nbytes} of an "
            f"array {array.shape} {array.dtype}; pass an array of the network's input size"
        )

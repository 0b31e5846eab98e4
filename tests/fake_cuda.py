# ruff: noqa: N802 - functions are called as in the library
"""A stand-in for libcudart behind real ctypes calls; what a stream does waits for synchronization.

Each function is a C function pointer, so that argument types, pointers and statuses cross the same
boundary as with the library. Copies are only done at ``cudaStreamSynchronize``, in order: who reads
too early reads old numbers. Time passes only through work, by the milliseconds below.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_int, c_void_p, cast

from erpose_edge.runtime.tensorrt.cuda_library import SIGNATURES

COPY_MS = 1.0
COMPUTE_MS = 5.0
NAME = b"Orin"
ATTRIBUTES = {16: 8, 18: 1, 75: 8, 76: 7}
FREE, TOTAL = 3 << 30, 8 << 30
TEXTS = {
    2: b"out of memory",
    35: b"CUDA driver version is insufficient",
    901: b"capture is invalid",
}


class FakeCuda:
    """What `CudaLibrary` takes for a library.

    Attributes:
        fail: Status by function that is returned instead of the function's work.
        calls: Names of the functions that were called, in order.
        alive: Handles that were made and not freed, by the function that frees them.
        freed: How often each handle was freed.
        steps: What streams did, in order.
        attributes: By number, as cudaDeviceGetAttribute gives them.
    """

    current: FakeCuda  # the one that a fake of TensorRT computes on

    def __init__(self, version: int = 12060) -> None:
        self.fail: dict[str, int] = {}
        self.calls: list[str] = []
        self.alive: dict[str, set[int]] = {}
        self.freed: Counter[int] = Counter()
        self.steps: list[str] = []
        self.attributes = dict(ATTRIBUTES)
        self.name = NAME
        self.devices = 1
        self.version = version
        self.now_ms = 0.0
        self._memory: dict[int, ctypes.Array] = {}
        self._queues: dict[int, list[tuple[str, Callable[[], None]]]] = {}
        self._recording: dict[int, list[tuple[str, Callable[[], None]]]] = {}
        self._graphs: dict[int, list[tuple[str, Callable[[], None]]]] = {}
        self._times: dict[int, float] = {}
        self._next = 0x1000
        self._texts = {status: ctypes.create_string_buffer(text) for status, text in TEXTS.items()}
        self._unknown = ctypes.create_string_buffer(b"unknown error")
        for name, types in SIGNATURES.items():
            setattr(self, name, CFUNCTYPE(c_int, *types)(self._wrapped(name)))
        self.cudaGetErrorString = CFUNCTYPE(c_void_p, c_int)(self._text)
        FakeCuda.current = self

    def enqueue(self, stream: int, name: str, work: Callable[[], None]) -> None:
        """Put work into a stream, or into the graph that it records."""
        self._recording.get(stream, self._queues[stream]).append((name, work))

    def _text(self, status: int) -> int:
        return ctypes.addressof(self._texts.get(status, self._unknown))

    def _wrapped(self, name: str) -> Callable[..., int]:
        work = getattr(self, "_" + name)

        def function(*arguments: object) -> int:
            self.calls.append(name)
            if name in self.fail and name == "cudaStreamEndCapture":
                self._recording.pop(arguments[0], None)  # recording is over all the same
            return self.fail.get(name) or work(*arguments) or 0

        return function

    def _made(self, pointer: object, free: str, handle: int | None = None) -> int:
        if handle is None:
            self._next += 0x10
            handle = self._next
        cast(pointer, POINTER(c_void_p))[0] = handle
        self.alive.setdefault(free, set()).add(handle)
        return handle

    def _gone(self, free: str, handle: int) -> int:
        self.freed[handle] += 1
        if handle not in self.alive.get(free, set()):
            return 1
        self.alive[free].remove(handle)
        return 0

    def _allocated(self, pointer: object, size: int, free: str) -> None:
        memory = (ctypes.c_ubyte * size)(*([0xAB] * size))  # never zeros by chance
        handle = self._made(pointer, free, ctypes.addressof(memory))
        self._memory[handle] = memory

    # What the library has, by its names.

    def _cudaDeviceGetAttribute(self, value, which, device):
        value[0] = self.attributes[which]

    def _cudaDriverGetVersion(self, value):
        value[0] = self.version

    def _cudaRuntimeGetVersion(self, value):
        value[0] = self.version

    def _cudaGetDeviceCount(self, value):
        value[0] = self.devices

    def _cudaGetDeviceProperties(self, target, device):
        ctypes.memmove(target, self.name + b"\0\x01\x02", len(self.name) + 3)

    def _cudaMemGetInfo(self, free, total):
        free[0], total[0] = FREE, TOTAL

    def _cudaSetDevice(self, device):
        return 0 if device < self.devices else 101

    def _cudaGetLastError(self):
        return 0

    def _cudaMalloc(self, pointer, size):
        self._allocated(pointer, size, "cudaFree")

    def _cudaHostAlloc(self, pointer, size, flags):
        self._allocated(pointer, size, "cudaFreeHost")

    def _cudaFree(self, handle):
        return self._gone("cudaFree", handle)

    def _cudaFreeHost(self, handle):
        return self._gone("cudaFreeHost", handle)

    def _cudaStreamCreateWithFlags(self, pointer, flags):
        self._queues[self._made(pointer, "cudaStreamDestroy")] = []

    def _cudaStreamDestroy(self, handle):
        return self._gone("cudaStreamDestroy", handle)

    def _cudaEventCreateWithFlags(self, pointer, flags):
        self._made(pointer, "cudaEventDestroy")

    def _cudaEventDestroy(self, handle):
        return self._gone("cudaEventDestroy", handle)

    def _cudaEventRecord(self, event, stream):
        def passed() -> None:
            self._times[event] = self.now_ms

        self.enqueue(stream, "event", passed)

    def _cudaEventElapsedTime(self, value, begin, end):
        if begin not in self._times or end not in self._times:
            return 600
        value[0] = self._times[end] - self._times[begin]
        return 0

    def _cudaMemcpyAsync(self, target, source, size, direction, stream):
        device, host = (target, source) if direction == 1 else (source, target)
        if device not in self.alive["cudaFree"] or host not in self.alive["cudaFreeHost"]:
            return 1

        def copied() -> None:
            ctypes.memmove(target, source, size)
            self.now_ms += COPY_MS

        self.enqueue(stream, {1: "h2d", 2: "d2h"}[direction], copied)
        return 0

    def _cudaStreamSynchronize(self, stream):
        queue, self._queues[stream] = self._queues[stream], []
        for name, work in queue:
            self.steps.append(name)
            work()

    def _cudaStreamBeginCapture(self, stream, mode):
        self._recording[stream] = []

    def _cudaStreamEndCapture(self, stream, pointer):
        self._graphs[self._made(pointer, "cudaGraphDestroy")] = self._recording.pop(stream)

    def _cudaGraphInstantiateWithFlags(self, pointer, graph, flags):
        self._graphs[self._made(pointer, "cudaGraphExecDestroy")] = self._graphs[graph]

    def _cudaGraphDestroy(self, handle):
        return self._gone("cudaGraphDestroy", handle)

    def _cudaGraphExecDestroy(self, handle):
        return self._gone("cudaGraphExecDestroy", handle)

    def _cudaGraphLaunch(self, graph, stream):
        self._queues[stream].extend((f"graph {name}", work) for name, work in self._graphs[graph])

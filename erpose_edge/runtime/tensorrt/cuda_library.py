"""Find NVIDIA's CUDA runtime library and call it; every status that is not success is an error.

Boards have the library of their JetPack (CUDA 11.4 on JetPack 5.1 up to 13.x on 7.x) and no pip.
So it is called through ctypes, with only those functions that have the same name and arguments in
all of these versions.

Their presence was checked in the libraries of CUDA 11.8, 12.9, 13.0 and 13.5 for x86; beyond that
nothing here was ever run with a GPU or on a Jetson, only against a library without a device.

Ref: https://docs.nvidia.com/cuda/cuda-runtime-api/
"""

from __future__ import annotations

import ctypes
import ctypes.util
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cudaDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cudaDriverGetVersion": (POINTER(c_int),),
    "cudaEventCreateWithFlags": (POINTER(c_void_p), c_uint),
    "cudaEventDestroy": (c_void_p,),
    "cudaEventElapsedTime": (POINTER(c_float), c_void_p, c_void_p),
    "cudaEventRecord": (c_void_p, c_void_p),
    "cudaFree": (c_void_p,),
    "cudaFreeHost": (c_void_p,),
    "cudaGetDeviceCount": (POINTER(c_int),),
    "cudaGetDeviceProperties": (c_void_p, c_int),
    "cudaGetLastError": (),
    "cudaGraphDestroy": (c_void_p,),
    "cudaGraphExecDestroy": (c_void_p,),
    # Not cudaGraphInstantiate: its arguments changed with CUDA 12.
    "cudaGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_ulonglong),
    "cudaGraphLaunch": (c_void_p, c_void_p),
    "cudaHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cudaMalloc": (POINTER(c_void_p), c_size_t),
    "cudaMemGetInfo": (POINTER(c_size_t), POINTER(c_size_t)),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaRuntimeGetVersion": (POINTER(c_int),),
    "cudaSetDevice": (c_int,),
    "cudaStreamBeginCapture": (c_void_p, c_int),
    "cudaStreamCreateWithFlags": (POINTER(c_void_p), c_uint),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cudaStreamSynchronize": (c_void_p,),
}

_OUT_OF_MEMORY = 2
_UNLOADING = 4
_OLD_DRIVER = 35
_NO_DEVICE = 100
_ADVICE = {
    _OUT_OF_MEMORY: "close other programs that use the GPU's memory",
    _OLD_DRIVER: "install the CUDA runtime that belongs to this driver (on Jetson: JetPack's)",
    _NO_DEVICE: "run it on a machine with an NVIDIA GPU that this user may open",
}
_OTHER_ADVICE = "look for the driver's own message in dmesg"

_SONAMES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
_FOLDERS = ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/aarch64-linux/lib")
_MAPS = "/proc/self/maps"


class CudaLibrary:
    """The CUDA runtime, one method for all of its functions.

    Attributes:
        version: Of the library, (major, minor).
    """

    def __init__(self, library: Any = None) -> None:  # noqa: ANN401 - a CDLL or what looks like one
        """Take ``library``, or find one.

        Raises:
            TargetError: There is none, or it lacks a function.
        """
        self._library = find_library() if library is None else library
        self._functions = {name: self._function(name) for name in SIGNATURES}
        self._text = self._library.cudaGetErrorString
        self._text.argtypes, self._text.restype = (c_int,), c_char_p
        number = c_int()
        self.call("cudaRuntimeGetVersion", ctypes.byref(number))
        self.version = (number.value // 1000, number.value % 1000 // 10)

    def call(self, name: str, *arguments: Any) -> None:  # noqa: ANN401 - what C takes
        """Call one of `SIGNATURES`.

        Raises:
            TargetError: It did not return success.
        """
        status = self._functions[name](*arguments)
        if status:
            raise TargetError(
                f"{name}: expected success, got CUDA error {status}: "
                f"{self._text(status).decode(errors='replace')}; "
                f"{_ADVICE.get(status, _OTHER_ADVICE)}"
            )

    def release(self, name: str, handle: int) -> None:
        """Free something at the end of its life; once the process ends, CUDA has freed it."""
        if self._functions[name](handle) not in (0, _UNLOADING):
            self._functions["cudaGetLastError"]()  # nobody is left who could be told

    def forget_error(self) -> None:
        """Take the last error away, so that the next call does not return it again."""
        self._functions["cudaGetLastError"]()

    def _function(self, name: str) -> Any:  # noqa: ANN401 - a foreign function
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise TargetError(
                f"libcudart: expected CUDA 11.4 or newer, got one without {name}; "
                "update JetPack or CUDA"
            ) from None
        function.argtypes, function.restype = SIGNATURES[name], c_int
        return function


def find_library() -> ctypes.CDLL:
    """Load libcudart: the one that this process has already, else the first that is found.

    Raises:
        TargetError: There is none.
    """
    fallback = None
    for name in _candidates():
        try:
            library = ctypes.CDLL(name)
            driver = library.cudaDriverGetVersion
            runtime = library.cudaRuntimeGetVersion
        except (OSError, AttributeError):
            continue
        # A runtime newer than the driver's refuses every call: an older one beside it may serve.
        if _version(driver) // 1000 >= _version(runtime) // 1000:
            return library
        fallback = fallback or library
    if fallback is None:
        raise TargetError(
            f"libcudart: expected NVIDIA's CUDA runtime ({', '.join(_SONAMES)}), got none; "
            "install JetPack's CUDA packages (cuda-cudart) or add their folder to LD_LIBRARY_PATH"
        )
    return fallback


def _candidates() -> Iterator[str]:
    # TensorRT may have loaded one: two runtimes in one process would still share the device, but
    # the versions should agree.
    maps = Path(_MAPS)
    lines = maps.read_text().splitlines() if maps.exists() else []
    yield from sorted({line.split()[-1] for line in lines if "libcudart" in line})
    yield from _SONAMES
    found = ctypes.util.find_library("cudart")
    if found:
        yield found
    for folder in _FOLDERS:
        yield from (str(path) for path in sorted(Path(folder).glob("libcudart.so*")))


def _version(function: Any) -> int:  # noqa: ANN401 - a foreign function
    number = c_int()
    function.argtypes, function.restype = (POINTER(c_int),), c_int
    function(ctypes.byref(number))
    return number.value

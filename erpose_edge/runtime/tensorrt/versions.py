"""What a version of TensorRT can do, asked of the module itself and not of its number.

=========  ====================  ==============================================================
TensorRT   JetPack               how a network is built
=========  ====================  ==============================================================
8.5, 8.6   5.1, 6.0              EXPLICIT_BATCH, flags FP16 and INT8, no progress monitor
10.x       6.1 to 7.2            flags FP16 and INT8; strongly typed on request
11.x       7.2.2 and later       always strongly typed: the precision is in the graph
=========  ====================  ==============================================================

Plugins are used with none of them, and a calibrator for DLA only; see `calibration`.

Ref: https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x-python-api-reference.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import RequestError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

# An artifact's graphs. The first is what builders with precision flags read: float32 and Q/DQ. The
# second says every tensor's type, for strongly typed networks; it is left out where it would be
# the same.
MODEL_ONNX = "model.onnx"
TYPED_ONNX = "model_typed.onnx"

TYPINGS = ("weak", "strong")
KEPT_ERRORS = 3  # of TensorRT's, to be repeated in ours
_OLDEST = (8, 5)


@dataclass(frozen=True)
class Abilities:
    """What a TensorRT module offers.

    Attributes:
        version: As it says itself, with all its parts.
        explicit_batch: Networks have to be asked to have a batch dimension.
        strong: There are strongly typed networks.
        weak: There are the builder's precision flags.
        progress: The builder reports how far it is.
        optimization_level: It takes a level from 0 to 5.
    """

    version: str
    explicit_batch: bool
    strong: bool
    weak: bool
    progress: bool
    optimization_level: bool

    @classmethod
    def of(cls, trt: Any) -> Abilities:  # noqa: ANN401 - the module, of any version
        """Read a module's abilities.

        Raises:
            TargetError: It is older than TensorRT 8.5, which first names tensors.
        """
        version = str(trt.__version__)
        network = trt.NetworkDefinitionCreationFlag
        abilities = cls(
            version=version,
            # TensorRT 10 still has the name, which does nothing there and is called deprecated.
            explicit_batch=hasattr(network, "EXPLICIT_BATCH")
            and not hasattr(network, "STRONGLY_TYPED"),
            strong=hasattr(network, "STRONGLY_TYPED"),
            weak=hasattr(trt.BuilderFlag, "FP16"),
            progress=hasattr(trt, "IProgressMonitor"),
            optimization_level=hasattr(trt.IBuilderConfig, "builder_optimization_level"),
        )
        if not hasattr(trt.IExecutionContext, "execute_async_v3"):
            raise TargetError(
                f"tensorrt: expected {'.'.join(map(str, _OLDEST))} or newer (JetPack 5.1), "
                f"got {version}; update JetPack"
            )
        return abilities

    def typing(self, asked: str | None = None) -> str:
        """Return how networks are typed: ``weak`` where there is a choice, unless asked.

        Raises:
            RequestError: There is no such typing.
            TargetError: This version does not have it.
        """
        if asked is not None and asked not in TYPINGS:
            known = " or ".join(TYPINGS)
            raise RequestError(f"typing: expected {known}, got {asked!r}; choose one")
        has = {"weak": self.weak, "strong": self.strong}
        if asked is None:
            return "weak" if self.weak else "strong"
        if not has[asked]:
            raise TargetError(
                f"typing: expected {' or '.join(t for t in TYPINGS if has[t])} with TensorRT "
                f"{self.version}, got {asked!r}; leave it out"
            )
        return asked


def builder_flags(precision: str, typing: str, *, dla: bool) -> tuple[str, ...]:
    """Return the builder's flags by name; one to be taken away has a minus sign.

    Args:
        precision: ``fp32``, ``fp16`` or ``int8``.
        typing: ``weak`` or ``strong``.
        dla: Layers go to a DLA core, those that it does not take to the GPU.
    """
    flags: list[str] = []
    if precision == "fp32":
        flags.append("-TF32")  # on by default, and ten bits of mantissa are not float32
    if typing == "weak" and precision != "fp32":
        flags.append("FP16")
        if precision == "int8":
            flags.append("INT8")
        # Decoding stays float32: half precision has steps of half a pixel at 640.
        flags.append("OBEY_PRECISION_CONSTRAINTS")
    if dla:
        flags.append("GPU_FALLBACK")
    return tuple(flags)


def message_log(trt: Any, write: Callable[[str], object] | None = None) -> Any:  # noqa: ANN401
    """Return a logger for TensorRT whose ``errors`` are the last `KEPT_ERRORS` of them.

    Args:
        trt: The module of TensorRT.
        write: Takes every message as a line, the smallest too; None drops them.
    """

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:  # noqa: ANN401 - TensorRT's
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors = [*self.errors, " ".join(msg.split())][-KEPT_ERRORS:]
            if write is not None:
                write(f"[{severity.name}] {msg}\n")

    return Log()

"""What an engine's exporter works from: one network, and the one ONNX graph of it.

Every engine has a module in this package with

- ``PRECISIONS``: what its artifacts can hold, in no order;
- ``LAYOUT``: of its input, ``NCHW`` or ``NHWC``;
- ``model_files(export)``: the model's files by plain name. It raises ExportError where the engine
  does not take the network, or would not run in int8 what the policy says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from erpose_edge.exporters.onnx import export_onnx
from erpose_edge.quantization.fake_quantize import quantized_convolutions

if TYPE_CHECKING:
    import onnx
    from torch import fx

    from erpose_edge.quantization.recipe import Dialect, Policy


@dataclass(frozen=True)
class DlaRequest:
    """What is wanted of DLA.

    Attributes:
        max_transitions: More changes between GPU and DLA are refused; None: any number.
    """

    max_transitions: int | None = None


@dataclass(frozen=True)
class EngineExport:
    """One network on its way to one engine.

    Attributes:
        network: What `fold` returned, or `prepare` in ``fake`` mode for ``int8``.
        precision: ``fp32``, ``fp16`` or ``int8``.
        contract: ``raw``, ``decoded`` or ``compact``.
        input_size: (height, width) in pixels, multiples of 32.
        answers: Poses of a compact graph.
        policy: Which convolutions are int8, and how engines are told; None unless ``int8``.
        skeleton: Name of the keypoints' convention.
        score_threshold: Poses with a lower score are left out.
        nms: Overlap above which the pose with the lower score goes; None keeps all.
        dla: What TensorRT needs for DLA is wanted too; None: it is not.
    """

    network: fx.GraphModule
    precision: str
    contract: str
    input_size: tuple[int, int]
    answers: int
    policy: Policy | None = None
    skeleton: str = "coco-17"
    score_threshold: float = 0.3
    nms: float | None = None
    dla: DlaRequest | None = None

    @cached_property
    def graph(self) -> onnx.ModelProto:
        """The ONNX graph that all engines share: Q/DQ for ``int8``, plain float otherwise."""
        return export_onnx(self.network, self.contract, self.input_size, self.answers)

    @property
    def int8(self) -> list[str]:
        """Names of the convolutions that have to run in int8."""
        return list(quantized_convolutions(self.network)) if self.precision == "int8" else []

    def dialect(self, engine: str) -> Dialect | None:
        """Return what the policy says of one engine; None if nothing, or in float."""
        said = self.policy.dialects.items() if self.policy else ()
        return next((dialect for name, dialect in said if name == engine), None)


class Engine(Protocol):
    """A module of this package that exports for one engine."""

    @property
    def PRECISIONS(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """What its artifacts can hold."""

    @property
    def LAYOUT(self) -> str:  # noqa: N802 - a module's constant
        """``NCHW`` or ``NHWC``."""

    def model_files(self, export: EngineExport) -> dict[str, bytes]:
        """Return the model's files by plain name."""
        ...

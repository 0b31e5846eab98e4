"""One ONNX graph from a network: plain float, or with explicit Q/DQ where it is fake-quantized.

In the Q/DQ graph weights are int8 initialisers behind a DequantizeLinear per output channel, and
every quantized activation passes a QuantizeLinear and a DequantizeLinear with zero point 0. All
engines start from this graph; `erpose_edge.exporters.dialect` spells it for those that need it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.exporters.stand_ins import with_stand_ins
from erpose_edge.network.pose_network import DeployNetwork
from erpose_edge.quantization.fake_quantize import (
    ActivationQuantizer,
    QuantizedConv2d,
)

if TYPE_CHECKING:
    import onnx

INPUT_NAME = "images"
OPSET = 18


def export_onnx(
    network: fx.GraphModule, contract: str, input_size: tuple[int, int], max_poses: int
) -> onnx.ModelProto:
    """Return the deployed network as a checked and simplified ONNX graph of batch size 1.

    The same network gives the same bytes. Convolutions are named after their modules.

    Args:
        network: What `prepare` or `fold` returned; in ``fake`` mode it gives Q/DQ.
        contract: ``raw``, ``decoded`` or ``compact``.
        input_size: (height, width) in pixels, multiples of 32.
        max_poses: Poses of ``compact``.

    Raises:
        MissingExtraError: A package of the ``export`` extra is missing.
        ExportError: The network is still being calibrated, or the simplifier damaged the graph.
    """
    _require_packages()
    import onnx

    deployed = DeployNetwork(
        with_stand_ins(network, "onnx", _SymbolicQuantizer, _SymbolicConv2d),
        contract,
        input_size,
        max_poses,
    )
    images = torch.zeros(1, 3, *input_size)
    with _quiet_exporter():
        program = torch.onnx.export(
            deployed.eval(),
            (images,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=list(deployed.output_names),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ExportError("onnx: expected a graph from torch.onnx.export, got none")
    model = _simplified(program.model_proto)
    _tidy(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def serialize(model: onnx.ModelProto) -> bytes:
    """Return the bytes of ``model``; equal models give equal bytes."""
    return model.SerializeToString(deterministic=True)


class _SymbolicQuantizer(nn.Module):
    """Stands for an `ActivationQuantizer` while the graph is written; does not compute."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, quantizer: ActivationQuantizer) -> None:
        super().__init__()
        self.register_buffer("scale", quantizer.scale.detach().clone())
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        parameters = (self.scale, self.zero_point)
        quantized = torch.onnx.ops.symbolic(
            "QuantizeLinear", (x, *parameters), dtype=torch.int8, shape=x.shape, version=OPSET
        )
        return torch.onnx.ops.symbolic(
            "DequantizeLinear",
            (quantized, *parameters),
            dtype=torch.float32,
            shape=x.shape,
            version=OPSET,
        )


class _SymbolicConv2d(nn.Module):
    """Stands for a `QuantizedConv2d` while the graph is written; does not compute."""

    weight: Tensor
    weight_scale: Tensor
    weight_zero_point: Tensor

    def __init__(self, conv: QuantizedConv2d) -> None:
        super().__init__()
        self.register_buffer("weight", conv.integer_weight())
        self.register_buffer("weight_scale", conv.weight_scale())
        zero_point = torch.zeros(conv.out_channels, dtype=torch.int8)
        self.register_buffer("weight_zero_point", zero_point)
        self.bias = conv.bias
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.onnx.ops.symbolic(
            "DequantizeLinear",
            (self.weight, self.weight_scale, self.weight_zero_point),
            {"axis": 0},
            dtype=torch.float32,
            shape=self.weight.shape,
            version=OPSET,
        )
        return functional.conv2d(
            x,
            weight,
            self.bias,
            self.stride,
            self.padding,
            groups=self.groups,
        )


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    simplified, sound = onnxsim.simplify(model)
    if not sound:
        raise ExportError("onnx: expected a graph that onnxsim keeps equal, got a different one")
    return simplified


def _tidy(model: onnx.ModelProto) -> None:
    """Drop what depends on the machine that exports, and name convolutions after modules."""
    for thing in (model, model.graph, *model.graph.node, *model.graph.value_info):
        thing.doc_string = ""
        del thing.metadata_props[:]
    for thing in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        thing.doc_string = ""
        del thing.metadata_props[:]
    weights = {node.output[0]: node.input[0] for node in model.graph.node if node.input}
    for node in model.graph.node:
        if node.op_type == "Conv":
            weight = weights.get(node.input[1], node.input[1])
            node.name = weight.removeprefix("network.").removesuffix(".weight")


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    # The exporter warns of its own internals and of torchvision, which nobody here needs.
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        registry.setLevel(level)


def _require_packages() -> None:
    try:
        import onnx
        import onnxscript
        import onnxsim
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"onnx export: expected the package {error.name}, got none; "
            "run `pip install 'erpose-edge[export]'`"
        ) from error
    del onnx, onnxscript, onnxsim

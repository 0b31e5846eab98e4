"""Put what an exporter can write in the place of what fake-quantizes."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import fx, nn

from erpose_edge.errors import ExportError
from erpose_edge.quantization.fake_quantize import (
    ActivationQuantizer,
    QuantizedConv2d,
    activation_quantizers,
    quantized_convolutions,
)


def with_stand_ins(
    network: fx.GraphModule,
    form: str,
    quantizer: Callable[[ActivationQuantizer], nn.Module],
    convolution: Callable[[QuantizedConv2d], nn.Module],
) -> fx.GraphModule:
    """Return a copy of ``network`` in eval mode; what is not in ``fake`` mode stays as it is.

    Args:
        network: What `prepare` or `fold` returned.
        form: What is exported to, for messages.
        quantizer: Makes what stands for a quantizer of activations.
        convolution: Makes what stands for a convolution with rounded weights.

    Raises:
        ExportError: A quantizer is still being calibrated.
    """
    network = copy.deepcopy(network).eval()
    for name, module in activation_quantizers(network).items():
        if module.mode == "fake":
            network.set_submodule(name, quantizer(module))
        elif module.mode == "observe":
            raise ExportError(f"{form}: {name}: expected a range, got none yet; calibrate first")
    for name, conv in quantized_convolutions(network).items():
        if conv.mode == "fake":
            network.set_submodule(name, convolution(conv))
    return network

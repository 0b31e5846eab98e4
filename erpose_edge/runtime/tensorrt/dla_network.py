"""Say to a builder what goes to DLA, and in which precision.

The names are those of the bindings of TensorRT 8.5 to 10.7 (python/src/infer/pyCore.cpp, pyInt8.cpp
of NVIDIA/TensorRT); run against a stand-in only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from erpose_edge.runtime.tensorrt.calibration import calibrator
from erpose_edge.runtime.tensorrt.dla import dla_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from erpose_edge.runtime.tensorrt.dla import DlaPlan


def use_dla(
    trt: Any,  # noqa: ANN401 - the module of TensorRT
    network: Any,  # noqa: ANN401 - TensorRT's
    config: Any,  # noqa: ANN401 - TensorRT's
    plan: DlaPlan | None,
    decoding: Sequence[Any],
) -> None:
    """Leave decoding to the GPU, and say which layers of the rest are float16.

    DLA has no float32, so what must not be less stays off it. The other layers may be int8 where
    every tensor has a scale.

    Args:
        trt: The module of TensorRT.
        network: Parsed; its layers have the names of the graph's nodes.
        config: Of the builder; DLA is its default device.
        plan: What the artifact says; None where it says nothing.
        decoding: As `decode_layers` returns it.
    """
    for layer in decoding:
        config.set_device_type(layer, trt.DeviceType.GPU)
    if plan is None or dla_way(str(trt.__version__)).how != "implicit":
        return
    apart = {layer.name for layer in decoding}
    half = set(plan.half) - apart
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.name in half:
            layer.precision = trt.DataType.HALF
    if plan.scales:
        # TensorRT holds no reference of its own; the config does, as long as it lives.
        config.int8_calibrator = calibrator(trt, plan.scales)

"""Float16 weights in a float TFLite file, by litert-quantizer.

A DEQUANTIZE in front of every convolution widens them: XNNPACK does so once, when the model is
loaded, and computes in float32; GPU delegates compute in float16.

Ref: https://ai.google.dev/edge/litert/models/post_training_float16_quant
"""

from __future__ import annotations

import contextlib
import io

from erpose_edge.errors import MissingExtraError

_RECIPE = {
    "regex": ".*",
    "operation": "*",
    "algorithm_key": "float_casting",
    "op_config": {
        "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
        "compute_precision": "FLOAT",
        "explicit_dequantize": True,
    },
}


def with_half_weights(content: bytes) -> bytes:
    """Return a float model with the weights of its convolutions in float16.

    Raises:
        MissingExtraError: litert-quantizer is not installed.
    """
    try:
        from litert_quantizer.quantizer import Quantizer
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"tflite export: expected the package {error.name}, got none; "
            "run `pip install 'erpose-edge[tflite-export]'`"
        ) from error
    # It prints both sizes, and bars.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = Quantizer(bytearray(content), [_RECIPE]).quantize().quantized_model
    return bytes(found)

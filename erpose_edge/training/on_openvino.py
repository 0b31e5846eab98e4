"""How networks that do not learn run beside the one that does: on OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from openvino import CompiledModel, Model


def compile_model(model: Model, *, bf16: bool) -> CompiledModel:
    """Return ``model`` for this processor, with as many threads as torch has.

    Args:
        model: Of a fixed input shape.
        bf16: Compute in bfloat16, for processors that are fast at it.
    """
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return openvino.compile_model(model, "CPU", settings)

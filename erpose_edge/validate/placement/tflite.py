"""What the TFLite runtime runs: its plan, and which parts of it XNNPACK took.

After its tensors are laid out the interpreter lists the operations of the file and, behind them,
one ``DELEGATE`` for every part that a delegate took over. What a delegate computes is what leads
from its inputs to its outputs. Our runner gives the interpreter no delegate of its own, so that it
is XNNPACK, which is built in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.validate.placement import CONVOLUTION, INT8, PlacedLayer, precision_of

if TYPE_CHECKING:
    from erpose_edge.runtime.artifact import Artifact

    Operation = dict[str, Any]

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
_DELEGATE = "DELEGATE"


def read_placement(runner: Any, artifact: Artifact) -> list[PlacedLayer]:  # noqa: ANN401
    """Return the operations of the file; see `placement_of`.

    They are named by kind and place in the file, as ``CONV_2D_12``.
    """
    del artifact
    operations: list[Operation] = runner.interpreter._get_ops_details()
    types = {
        tensor["index"]: np.dtype(tensor["dtype"]).name
        for tensor in runner.interpreter.get_tensor_details()
    }
    taken = _delegated(operations)
    found = []
    for place, operation in enumerate(operations):
        kind = operation["op_name"]
        if kind == _DELEGATE:
            continue
        inputs = [int(index) for index in operation["inputs"] if index >= 0]
        data = types.get(inputs[0], "") if inputs else ""
        convolution = kind in _CONVOLUTIONS
        weights = types.get(inputs[1], "") if convolution and len(inputs) > 1 else ""
        found.append(
            PlacedLayer(
                layer=f"{kind}_{place}",
                kind=CONVOLUTION if convolution else kind,
                precision=precision_of(data),
                unit="xnnpack" if place in taken else "builtin",
                asked=INT8 if weights in ("int8", "uint8") else None,
            )
        )
    return found


def _delegated(operations: list[Operation]) -> set[int]:
    """Return the places of operations that lead from a delegate's inputs to its outputs."""
    makers = {
        int(output): place
        for place, operation in enumerate(operations)
        if operation["op_name"] != _DELEGATE
        for output in operation["outputs"]
    }
    taken: set[int] = set()
    for delegate in operations:
        if delegate["op_name"] != _DELEGATE:
            continue
        given = {int(index) for index in delegate["inputs"]}
        wanted = [int(index) for index in delegate["outputs"]]
        while wanted:
            place = makers.get(wanted.pop())
            if place is None or place in taken:
                continue
            taken.add(place)
            inputs = (int(index) for index in operations[place]["inputs"])
            wanted += [index for index in inputs if index not in given]
    return taken

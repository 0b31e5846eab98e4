"""MoveNet MultiPose as a file: the teacher, and the start of a mobile backbone.

MoveNet MultiPose is Apache-2.0. Ref: https://tfhub.dev/google/movenet/multipose/lightning/1
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.errors import MissingExtraError, WeightsError

if TYPE_CHECKING:
    from openvino import Model


def read_movenet(path: Path, setting: str) -> Model:
    """Read MoveNet MultiPose's file with OpenVINO.

    Args:
        path: The ``.tflite`` file.
        setting: Of the config that named it, for messages.

    Raises:
        WeightsError: OpenVINO cannot read the file.
        MissingExtraError: OpenVINO is not installed.
    """
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{setting}: expected the openvino package, got none; "
            "run `pip install 'erpose-edge[train,openvino]'`"
        ) from error
    try:
        return openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{setting} {path}: expected MoveNet MultiPose as .tflite, "
            f"got a file that OpenVINO cannot read ({reason})"
        ) from error

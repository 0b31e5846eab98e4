"""Read cameras, GStreamer pipelines and network streams, frame by frame.

Ref: https://docs.opencv.org/4.x/d8/dfe/classcv_1_1VideoCapture.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

from erpose_edge.errors import ImageError
from erpose_edge.runtime.images import quiet_ffmpeg, silent_cv2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

GSTREAMER = "gst:"
_INDEX = re.compile(r"(?:/dev/video)?(\d{1,3})")
_STREAM = re.compile(r"(?:rtsps?|https?|udp|tcp)://", re.I)
_HAS_GSTREAMER = re.compile(r"GStreamer:\s+YES")
# A live source that gives nothing so often in a row has ended.
_PATIENCE = 30


def is_live(source: str) -> bool:
    """Say whether a source is a camera (``0``, ``/dev/video0``), ``gst:PIPELINE`` or a stream."""
    return bool(source.startswith(GSTREAMER) or _INDEX.fullmatch(source) or _STREAM.match(source))


def read_live(source: str) -> Iterator[NDArray[np.uint8]]:
    """Yield frames, BGR (H, W, 3), for as long as the source gives some.

    Args:
        source: As `is_live` knows it. A pipeline ends in ``appsink`` and gives BGR.

    Raises:
        ImageError: It cannot be opened, or never gives a frame.
    """
    capture = _open(source)
    frames = empty = 0
    try:
        while empty < _PATIENCE:
            with silent_cv2():
                more, frame = capture.read()
            if not more:
                empty += 1
                continue
            frames, empty = frames + 1, 0
            yield np.asarray(frame, np.uint8)
    finally:
        capture.release()
    if frames == 0:
        raise ImageError(f"{source}: expected frames, got none; is it in use by another program?")


def _open(source: str) -> cv2.VideoCapture:
    quiet_ffmpeg()
    index = _INDEX.fullmatch(source)
    if source.startswith(GSTREAMER) and not _HAS_GSTREAMER.search(cv2.getBuildInformation()):
        raise ImageError(
            f"{source}: expected a cv2 with GStreamer, got one without, as pip's are; "
            "use the board's own: pip uninstall opencv-python opencv-python-headless, then "
            "sudo apt install python3-opencv"
        )
    with silent_cv2():
        if source.startswith(GSTREAMER):
            capture = cv2.VideoCapture(source[len(GSTREAMER) :], cv2.CAP_GSTREAMER)
        elif index:
            capture = cv2.VideoCapture(int(index.group(1)))
        else:
            capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise ImageError(
            f"{source}: expected a camera, pipeline or stream that cv2 opens, got none; "
            "list cameras with: ls /dev/video*"
        )
    return capture

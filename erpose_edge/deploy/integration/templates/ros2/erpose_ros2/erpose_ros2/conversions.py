"""Between ROS messages and numpy, without ROS: what can be tested anywhere.

Encodings: https://docs.ros2.org/foxy/api/sensor_msgs/msg/Image.html and
``sensor_msgs/image_encodings.hpp``. cv_bridge is not needed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# Channels of an encoding, and how cv2 makes BGR of it; None where it is BGR.
_ENCODINGS = {
    "bgr8": (3, None),
    "8UC3": (3, None),
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "8UC4": (4, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR),
    "8UC1": (1, cv2.COLOR_GRAY2BGR),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
}


def bgr_image(
    encoding: str,
    height: int,
    width: int,
    step: int,
    data: Any,  # noqa: ANN401 - bytes-like
) -> np.ndarray:
    """Return the picture of a sensor_msgs/Image, BGR (H, W, 3) uint8.

    Args:
        encoding: Of the message.
        height: In pixels.
        width: In pixels.
        step: Bytes from one row to the next; more than a row where rows are padded.
        data: All rows, with their padding; the last row may come without.

    Raises:
        ValueError: The encoding is not served, or the sizes do not fit each other.
    """
    if encoding not in _ENCODINGS:
        served = ", ".join(sorted(_ENCODINGS))
        raise ValueError(f"encoding: expected one of {served}, got {encoding!r}; convert the image")
    channels, conversion = _ENCODINGS[encoding]
    row = width * channels
    flat = np.frombuffer(data, np.uint8)
    least = step * (height - 1) + row
    if height < 1 or width < 1 or step < row or not least <= flat.size <= step * height:
        raise ValueError(
            f"image: expected {height} rows of {row} bytes every {step}, got {flat.size} bytes; "
            "check who publishes it"
        )
    rows = np.lib.stride_tricks.as_strided(flat, (height, row), (step, 1), writeable=False)
    picture = np.ascontiguousarray(rows).reshape(height, width, channels)
    if conversion is None:
        return picture
    return np.asarray(cv2.cvtColor(picture, conversion), np.uint8)


def poses_json(
    stamp: tuple[int, int],
    frame_id: str,
    size: tuple[int, int],
    poses: Any,  # noqa: ANN401 - of the bundle
    skeleton: Any,  # noqa: ANN401
) -> str:
    """Return poses as one line of JSON.

    Args:
        stamp: (seconds, nanoseconds) of the image.
        frame_id: Of the image.
        size: (height, width) of the image in pixels.
        poses: `erpose_edge.runtime.poses.Poses` in the image's pixels.
        skeleton: Names of the keypoints.
    """
    document = {
        "stamp": {"sec": stamp[0], "nanosec": stamp[1]},
        "frame_id": frame_id,
        "height": size[0],
        "width": size[1],
        "keypoints": list(skeleton.keypoints),
        "poses": poses.to_json(),
    }
    return json.dumps(document)


def boxes(poses: Any, visible: float = 0.5) -> list[dict[str, float]]:  # noqa: ANN401 - Poses
    """Return the box around the visible keypoints of every pose, around all where few are visible.

    Returns:
        ``x``, ``y`` (centre), ``width``, ``height`` in pixels, and ``score``, best first.
    """
    found = []
    for score, points, seen in zip(poses.scores, poses.keypoints, poses.visibility):
        used = points[seen >= visible]
        if len(used) < 2:
            used = points
        low, high = used.min(axis=0).astype(float), used.max(axis=0).astype(float)
        centre, extent = (low + high) / 2, high - low
        found.append(
            {
                "x": float(centre[0]),
                "y": float(centre[1]),
                "width": float(extent[0]),
                "height": float(extent[1]),
                "score": float(score),
            }
        )
    return found


def limbs(
    points: np.ndarray,
    visibility: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    visible: float = 0.5,
) -> list[tuple[float, float]]:
    """Return the ends of a person's limbs, two entries a limb, in pixels.

    A limb is left out unless both of its keypoints are likely visible.

    Args:
        points: (K, 2) in pixels.
        visibility: (K,) probabilities.
        pairs: Keypoints that are joined.
        visible: Smallest probability.
    """
    ends = []
    for first, second in pairs:
        if min(visibility[first], visibility[second]) >= visible:
            ends += [(float(points[i][0]), float(points[i][1])) for i in (first, second)]
    return ends

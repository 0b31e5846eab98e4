"""A ROS 2 node: images in, keypoints of people out.

Reads ``image`` (sensor_msgs/Image). Publishes, with the image's own stamp and frame:

- ``~/poses`` (std_msgs/String): all that is known, as JSON;
- ``~/image_markers`` (visualization_msgs/ImageMarker): skeletons in image pixels, one message a
  person, for Foxglove and other viewers of images;
- ``~/detections`` (vision_msgs/Detection2DArray), where vision_msgs is installed: a box a person;
- ``~/image`` (sensor_msgs/Image), with ``publish_image``: the picture with skeletons, for RViz.

It does not start when the bundle's self-test fails. Written for Humble and later; never run with
ROS: conversions are tested, and this file with a stand-in of rclpy.
"""

from __future__ import annotations

import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from geometry_msgs.msg import Point
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA, String
from visualization_msgs.msg import ImageMarker

try:
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
except ImportError:  # a package of its own; without it there are no boxes
    Detection2DArray = None

from .conversions import bgr_image, boxes, limbs, poses_json

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIFETIME_NS = 500_000_000  # markers of somebody who left go after half a second
_LINE_PX = 2.0


def open_estimator(bundle: Path, score_threshold: float) -> Any:  # noqa: ANN401 - of the bundle
    """Return the bundle's estimator, which has passed the self-test.

    On a board the engine is built first where there is none yet, which takes minutes.

    Args:
        bundle: Its folder; its own runtime is imported from there.
        score_threshold: Poses with a lower score are left out; negative takes the manifest's.

    Raises:
        RuntimeError: There is no bundle, it is damaged, does not run here, or its self-test fails.
    """
    if not (bundle / "erpose_edge" / "on_device").is_dir():
        raise RuntimeError(
            f"bundle: expected a bundle's folder, got {str(bundle)!r}; set the parameter bundle"
        )
    if str(bundle) not in sys.path:
        sys.path.insert(0, str(bundle))
    from erpose_edge.errors import ErposeError
    from erpose_edge.on_device.opened import open_bundle, self_test

    try:
        opened = open_bundle(bundle)
        estimator = opened.estimator()
        misses = self_test(opened, estimator)
    except ErposeError as error:
        raise RuntimeError(str(error)) from error
    if misses:
        raise RuntimeError(
            f"self-test: expected every pose, got {len(misses)} misses; run ./selftest"
        )
    if score_threshold >= 0:
        estimator.score_threshold = score_threshold
    return estimator


class PoseNode(Node):
    """The node; see the module."""

    def __init__(self) -> None:
        super().__init__("erpose")
        bundle = Path(self.declare_parameter("bundle", "").value or ".").resolve()
        threshold = float(self.declare_parameter("score_threshold", -1.0).value)
        self._draws = bool(self.declare_parameter("publish_image", False).value)
        self._estimator = open_estimator(bundle, threshold)
        self._poses = self.create_publisher(String, "~/poses", 10)
        self._markers = self.create_publisher(ImageMarker, "~/image_markers", 10)
        self._boxes = (
            self.create_publisher(Detection2DArray, "~/detections", 10)
            if Detection2DArray
            else None
        )
        self._image = self.create_publisher(Image, "~/image", 1) if self._draws else None
        # Sensor data: best effort, newest frames first; what comes meanwhile is dropped.
        self.create_subscription(Image, "image", self.on_image, qos_profile_sensor_data)
        self.get_logger().info(f"serving {bundle}")

    def on_image(self, message: Any) -> None:  # noqa: ANN401 - sensor_msgs/Image
        """Find the people in an image and publish them."""
        try:
            picture = bgr_image(
                message.encoding, message.height, message.width, message.step, message.data
            )
        except ValueError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        poses = self._estimator(picture)
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        skeleton = self._estimator.skeleton
        size = (message.height, message.width)
        text = poses_json(stamp, message.header.frame_id, size, poses, skeleton)
        self._poses.publish(String(data=text))
        for person in range(len(poses)):
            self._markers.publish(self._marker(message.header, poses, person))
        if self._boxes is not None:
            self._boxes.publish(self._detections(message.header, poses))
        if self._image is not None:
            self._image.publish(self._drawn(message.header, picture, poses))

    def _marker(self, header: Any, poses: Any, person: int) -> Any:  # noqa: ANN401
        marker = ImageMarker()
        marker.header = header
        marker.ns = "erpose"
        marker.id = person
        marker.type = ImageMarker.LINE_LIST
        marker.action = ImageMarker.ADD
        marker.scale = _LINE_PX
        marker.lifetime.nanosec = _LIFETIME_NS
        marker.outline_color = ColorRGBA(r=1.0, g=0.55, b=0.16, a=1.0)
        pairs = self._estimator.skeleton.limbs
        ends = limbs(poses.keypoints[person], poses.visibility[person], pairs)
        marker.points = [Point(x=x, y=y, z=0.0) for x, y in ends]
        return marker

    def _detections(self, header: Any, poses: Any) -> Any:  # noqa: ANN401
        message = Detection2DArray()
        message.header = header
        for box in boxes(poses):
            detection = Detection2D()
            detection.header = header
            detection.bbox.center.position.x = box["x"]
            detection.bbox.center.position.y = box["y"]
            detection.bbox.size_x = box["width"]
            detection.bbox.size_y = box["height"]
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id = "person"
            result.hypothesis.score = box["score"]
            detection.results.append(result)
            message.detections.append(detection)
        return message

    def _drawn(self, header: Any, picture: Any, poses: Any) -> Any:  # noqa: ANN401
        from erpose_edge.runtime.draw import draw_poses

        drawn = draw_poses(picture, poses, self._estimator.skeleton)
        message = Image()
        message.header = header
        message.height, message.width = drawn.shape[:2]
        message.encoding = "bgr8"
        message.step = 3 * message.width
        message.data = array("B", drawn.tobytes())  # rclpy would look at every byte of others
        return message


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    rclpy.init(args=arguments)
    try:
        node = PoseNode()
    except RuntimeError as error:
        sys.stderr.write(f"error: {error}\n")
        rclpy.try_shutdown()
        return 3
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass  # Ctrl-C is how it ends
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0

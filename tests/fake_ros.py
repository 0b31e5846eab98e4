"""A stand-in of rclpy and of the messages that the node uses.

Messages take keywords only, know their fields, and refuse a value of another type, as the generated
ones do; a float where a float is asked for, bytes as ``array('B')``.

Ref: https://docs.ros.org/en/humble/p/ of each package; ROS 2's rosidl_generator_py.
"""

from __future__ import annotations

import sys
from array import array
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar


class Message:
    """A generated message; ``fields`` are defaults or classes by name."""

    fields: ClassVar[dict[str, Any]] = {}

    def __init__(self, **values: Any) -> None:
        for name, kind in self.fields.items():
            object.__setattr__(self, name, kind() if isinstance(kind, type) else kind)
        for name, value in values.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.fields:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        kind = self.fields[name]
        expected = kind if isinstance(kind, type) else type(kind)
        if type(value) is not expected:
            raise AssertionError(f"The {name!r} field must be of type {expected.__name__!r}")
        object.__setattr__(self, name, value)


def message(name: str, **fields: Any) -> type[Message]:
    return type(name, (Message,), {"fields": fields})


Time = message("Time", sec=0, nanosec=0)
Duration = message("Duration", sec=0, nanosec=0)
Header = message("Header", stamp=Time, frame_id="")
String = message("String", data="")
ColorRGBA = message("ColorRGBA", r=0.0, g=0.0, b=0.0, a=0.0)
Point = message("Point", x=0.0, y=0.0, z=0.0)
Image = message(
    "Image", header=Header, height=0, width=0, encoding="", is_bigendian=0, step=0,
    data=array("B"),
)  # fmt: skip
ImageMarker = message(
    "ImageMarker", header=Header, ns="", id=0, type=0, action=0, position=Point, scale=0.0,
    outline_color=ColorRGBA, filled=0, fill_color=ColorRGBA, lifetime=Duration, points=list,
    outline_colors=list,
)  # fmt: skip
ImageMarker.LINE_LIST, ImageMarker.ADD = 2, 0
Pose2D = message("Pose2D", position=message("Point2D", x=0.0, y=0.0), theta=0.0)
BoundingBox2D = message("BoundingBox2D", center=Pose2D, size_x=0.0, size_y=0.0)
ObjectHypothesisWithPose = message(
    "ObjectHypothesisWithPose", hypothesis=message("ObjectHypothesis", class_id="", score=0.0)
)
Detection2D = message("Detection2D", header=Header, results=list, bbox=BoundingBox2D, id="")
Detection2DArray = message("Detection2DArray", header=Header, detections=list)


class Node:
    """A node: publishers that keep what they are given, parameters that tests set."""

    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        self.published: dict[str, list[Any]] = {}
        self.logged: list[tuple[str, str]] = []
        self.subscriptions: list[tuple[Any, ...]] = []

    def declare_parameter(self, name: str, default: Any) -> Any:
        value = self.parameters.get(name, default)
        if type(value) is not type(default):
            raise TypeError(name)
        return SimpleNamespace(value=value)

    def create_publisher(self, kind: type[Message], topic: str, depth: int) -> Any:
        kept = self.published.setdefault(topic, [])

        def publish(sent: Message) -> None:
            if type(sent) is not kind:
                raise TypeError(f"{topic} takes {kind.__name__}")
            kept.append(sent)

        return SimpleNamespace(publish=publish)

    def create_subscription(self, kind: type, topic: str, call: Any, quality: Any) -> None:
        self.subscriptions.append((kind, topic, call, quality))

    def get_logger(self) -> Any:
        def at(level: str) -> Any:
            return lambda text, **_: self.logged.append((level, text))

        return SimpleNamespace(info=at("info"), error=at("error"))

    def destroy_node(self) -> None:
        self.destroyed = True


def install(monkeypatch: Any, *, vision: bool = True, spin: Any = None) -> ModuleType:
    """Put the modules in place; ``spin`` is what `rclpy.spin` does with the node."""
    rclpy = ModuleType("rclpy")
    rclpy.init = lambda args=None: None
    rclpy.try_shutdown = lambda: None
    rclpy.spin = spin or (lambda node: None)
    modules = {
        "rclpy": rclpy,
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"qos_profile_sensor_data": "sensor data"},
        "geometry_msgs.msg": {"Point": Point},
        "sensor_msgs.msg": {"Image": Image},
        "std_msgs.msg": {"ColorRGBA": ColorRGBA, "String": String},
        "visualization_msgs.msg": {"ImageMarker": ImageMarker},
        "vision_msgs.msg": {
            "Detection2D": Detection2D,
            "Detection2DArray": Detection2DArray,
            "ObjectHypothesisWithPose": ObjectHypothesisWithPose,
        },
    }
    if not vision:
        modules["vision_msgs.msg"] = None  # importing it raises ImportError
    for name, content in modules.items():
        module = content
        if isinstance(content, dict):
            module = ModuleType(name)
            vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
        package = name.split(".")[0]
        if package not in sys.modules:
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
    return rclpy

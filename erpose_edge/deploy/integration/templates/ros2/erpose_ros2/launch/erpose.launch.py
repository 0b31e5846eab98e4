"""Start the node: ``ros2 launch erpose_ros2 erpose.launch.py bundle:=/path image:=/image_raw``."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch` starts."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "bundle", description="folder of the bundle, or its link current"
            ),
            DeclareLaunchArgument("image", default_value="/image_raw", description="topic to read"),
            DeclareLaunchArgument("score_threshold", default_value="-1.0"),
            DeclareLaunchArgument("publish_image", default_value="false"),
            Node(
                package="erpose_ros2",
                executable="pose_node",
                name="erpose",
                output="screen",
                remappings=[("image", LaunchConfiguration("image"))],
                parameters=[
                    {
                        "bundle": ParameterValue(LaunchConfiguration("bundle"), value_type=str),
                        "score_threshold": ParameterValue(
                            LaunchConfiguration("score_threshold"), value_type=float
                        ),
                        "publish_image": ParameterValue(
                            LaunchConfiguration("publish_image"), value_type=bool
                        ),
                    }
                ],
            ),
        ]
    )

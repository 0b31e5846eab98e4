"""How colcon installs the package."""

from pathlib import Path

from setuptools import setup

NAME = "erpose_ros2"

setup(
    name=NAME,
    version="$version",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (
            f"share/{NAME}/launch",
            [str(path) for path in sorted(Path("launch").glob("*.launch.py"))],
        ),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="whoever runs this robot",
    maintainer_email="robot@example.com",
    description="Keypoints of people in a camera's images.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"pose_node = {NAME}.node:main"]},
)

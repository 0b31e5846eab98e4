"""Files with which other programs use a bundle: DeepStream, GStreamer, ROS 2, systemd, Docker."""

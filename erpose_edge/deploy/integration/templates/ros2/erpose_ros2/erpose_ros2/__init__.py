"""Keypoints of people as a ROS 2 node."""

"""ER-Pose: backbone, neck and keypoint-driven head at scales n/s/m/l/x, and its weights files."""

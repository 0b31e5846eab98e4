"""On the device: the commands of a bundle, ``python3 -m erpose_runtime``.

numpy, cv2, the standard library and one engine; nothing is installed there.
"""

"""ER-Pose on edge devices: train, quantize once, export to every engine, validate where it runs."""

__version__ = "0.1.0"

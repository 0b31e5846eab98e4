"""Exporters: from weights to Q/DQ ONNX, and from there to the artifact of one engine."""

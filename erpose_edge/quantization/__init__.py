"""Quantization: recipes, ranges, fake-quantization, and fine-tuning with it."""

"""Data: label readers, augmentation and the generated people."""

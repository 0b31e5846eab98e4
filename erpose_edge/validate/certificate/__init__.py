"""The certificate of a measurement: what was measured, on what, with which verdict, and a seal.

Format 2 holds the raw samples, so that every statistic in it can be computed again by whoever has
the file. What that proves, and what only a signature does, stands in ``docs/certificate.md``.
"""

from erpose_edge.validate.certificate.seal import (
    FORMAT,
    canonical_bytes,
    require_sealed,
    sealed,
)

__all__ = ["FORMAT", "canonical_bytes", "require_sealed", "sealed"]

"""What values a tensor takes over a calibration set, and the range to cut it to."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from erpose_edge.errors import ConfigError

METHODS = ("minmax", "percentile", "mse")

_BINS = 4096
_LEVELS = 127
# Ranges tried by mse, as shares of the largest value seen.
_CANDIDATES = torch.linspace(0.1, 1.0, 91, dtype=torch.float64)


class HistogramObserver:
    """Histogram of absolute values whose reach doubles when a larger value comes.

    Attributes:
        peak: Largest absolute value seen.
        mean_peak: Mean over the calls of `add` of each call's largest absolute value.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        self._peaks = 0.0
        self._calls = 0
        self._reach = 0.0
        self._counts = torch.zeros(_BINS, dtype=torch.float64)

    @property
    def mean_peak(self) -> float:
        """Mean of the largest absolute values of every call; 0 before the first."""
        return self._peaks / self._calls if self._calls else 0.0

    def add(self, values: Tensor) -> None:
        """Count values of any shape.

        Raises:
            ConfigError: A value is not finite: the network or its weights are broken.
        """
        magnitudes = values.float().abs().flatten()
        peak = float(magnitudes.max())
        if not math.isfinite(peak):
            raise ConfigError(
                f"calibration: expected finite activations, got {peak}; check the weights"
            )
        self._calls += 1
        self._peaks += peak
        if peak == 0.0:
            self._counts[0] += magnitudes.numel()
            return
        self._make_room(peak)
        self.peak = max(self.peak, peak)
        self._counts += torch.histc(magnitudes, _BINS, 0.0, self._reach).double().cpu()

    def _make_room(self, peak: float) -> None:
        if self._reach == 0.0:
            self._reach = 2.0 ** math.ceil(math.log2(peak))
        while self._reach < peak:
            # Twice the reach: pairs of bins become one, which loses nothing but resolution.
            halved = self._counts.view(-1, 2).sum(1)
            self._counts = torch.cat([halved, torch.zeros_like(halved)])
            self._reach *= 2.0

    def choose_limit(self, method: str, percentile: float = 99.99) -> float:
        """Return the absolute value at which to cut the range; 0 if only zeros were seen.

        Args:
            method: ``minmax`` keeps every value, ``percentile`` that share of them, ``mse`` loses
                the least squared error to rounding and cutting together.
            percentile: In percent; for ``percentile`` only.

        Raises:
            ConfigError: Nothing was observed, or ``method`` is unknown.
        """
        if not self._calls:
            raise ConfigError("calibration: expected at least one image, got none")
        if method not in METHODS:
            raise ConfigError(f"qat.observer: expected one of {', '.join(METHODS)}, got {method!r}")
        if method == "minmax" or self.peak == 0.0:
            return self.peak
        return self._percentile(percentile) if method == "percentile" else self._least_error()

    def _percentile(self, percentile: float) -> float:
        share = self._counts.cumsum(0) / self._counts.sum()
        inside = int((share < percentile / 100).sum())
        return min((inside + 1) * self._reach / _BINS, self.peak)

    def _least_error(self) -> float:
        centres = (torch.arange(_BINS, dtype=torch.float64) + 0.5) * self._reach / _BINS
        limits = _CANDIDATES * self.peak
        steps = (limits / _LEVELS)[:, None]
        rounded = (centres / steps).round().clamp(max=_LEVELS) * steps
        errors = ((rounded - centres).square() * self._counts).sum(1)
        return float(limits[errors.argmin()])

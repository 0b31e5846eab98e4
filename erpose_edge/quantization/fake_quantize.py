"""Fake-quantization: float arithmetic that rounds as the int8 engines will round.

Activations are int8 per tensor, weights int8 per output channel; both are symmetric with zero
point 0, which is what every engine takes (TensorRT takes nothing else).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from erpose_edge.quantization.observers import HistogramObserver

if TYPE_CHECKING:
    from erpose_edge.quantization.recipe import WeightRule

Mode = Literal["float", "observe", "fake"]

ACTIVATION_LIMIT = 127
# A scale must be positive: a channel or tensor that is all zero gets this one.
_SMALLEST_SCALE = 1e-8


class ActivationQuantizer(nn.Module):
    """Fake-quantizes activations with one scale; several tensors that must agree share one.

    Attributes:
        scale: Value of one int8 step, float32 scalar.
        mode: ``float`` passes on, ``observe`` passes on and collects a histogram, ``fake`` rounds.
        momentum: While training in ``fake`` mode, how much of the range each batch keeps; None
            freezes the range.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int32), persistent=False)
        self.mode: Mode = "float"
        self.momentum: float | None = None
        self.observer = HistogramObserver()
        self._share = 1.0
        self._peak: Tensor | None = None

    def choose_range(self, method: str, percentile: float) -> None:
        """Set the scale from what was observed.

        Args:
            method: ``minmax``, ``percentile`` or ``mse``.
            percentile: Share of the values inside the range, in percent; for ``percentile`` only.
        """
        limit = self.observer.choose_limit(method, percentile)
        # Later batches are summarised by their largest value only: keep the range in proportion.
        self._share = limit / self.observer.mean_peak if self.observer.mean_peak else 1.0
        self.scale.fill_(max(limit / ACTIVATION_LIMIT, _SMALLEST_SCALE))

    def take_over(self, other: ActivationQuantizer) -> None:
        """Use the range that ``other`` chose, and follow batches in the same proportion."""
        self.scale.copy_(other.scale)
        self._share = other._share

    def follow_batch(self) -> None:
        """Move the range towards that of the last batch, unless frozen."""
        if self._peak is not None and self.momentum is not None:
            target = (self._share * self._peak / ACTIVATION_LIMIT).clamp_min(_SMALLEST_SCALE)
            self.scale.lerp_(target, 1 - self.momentum)
        self._peak = None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` of any shape, on the int8 grid in ``fake`` mode."""
        if self.mode == "observe":
            self.observer.add(x.detach())
        if self.mode != "fake":
            return x
        if self.training and self.momentum is not None:
            # A shared quantizer sees several tensors a batch; its range has to hold them all.
            peak = x.detach().abs().amax()
            self._peak = peak if self._peak is None else torch.maximum(self._peak, peak)
        return torch.fake_quantize_per_tensor_affine(
            x, self.scale, self.zero_point, -ACTIVATION_LIMIT - 1, ACTIVATION_LIMIT
        )


class QuantizedConv2d(nn.Conv2d):
    """Convolution whose weights are fake-quantized per output channel; its bias stays float.

    The weights' scales are no state: they follow from the weights at every call.

    Attributes:
        mode: As in `ActivationQuantizer`; ``observe`` computes in float.
        limit: Largest integer weight: 127 of 8 bits, 63 of 7.
        per_channel: One scale per output channel instead of the same for all.
    """

    mode: Mode = "float"
    limit: int = 127
    per_channel: bool = True

    @classmethod
    def from_float(cls, conv: nn.Conv2d, rule: WeightRule) -> QuantizedConv2d:
        """Return a quantized convolution that shares ``conv``'s parameters."""
        with torch.device("meta"):
            quantized = cls(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size,  # type: ignore[arg-type]
                conv.stride,  # type: ignore[arg-type]
                conv.padding,  # type: ignore[arg-type]
                groups=conv.groups,
                bias=conv.bias is not None,
            )
        quantized.weight, quantized.bias = conv.weight, conv.bias
        quantized.limit = largest_integer(rule.bits)
        quantized.per_channel = rule.per_channel
        return quantized.train(conv.training)

    def weight_scale(self) -> Tensor:
        """Return the value of one integer step of every output channel, (C_out,)."""
        largest = self.weight.detach().abs().amax((1, 2, 3))
        if not self.per_channel:
            largest = largest.amax().expand_as(largest)
        return (largest / self.limit).clamp_min(_SMALLEST_SCALE)

    def integer_weight(self) -> Tensor:
        """Return the weights as the engines hold them, int8 (C_out, C_in / groups, kh, kw)."""
        steps = self._rounded_weight() / self.weight_scale()[:, None, None, None]
        return steps.round().to(torch.int8)

    def _rounded_weight(self) -> Tensor:
        scale = self.weight_scale()
        zero_point = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(
            self.weight, scale, zero_point, 0, -self.limit, self.limit
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C_in, H, W), with weights on the int8 grid in ``fake`` mode."""
        weight = self._rounded_weight() if self.mode == "fake" else self.weight
        return self._conv_forward(x, weight, self.bias)


def largest_integer(bits: int) -> int:
    """Return the largest integer of a symmetric range of ``bits`` signed bits."""
    return int(2 ** (bits - 1) - 1)


def set_mode(network: nn.Module, mode: Mode) -> None:
    """Put every quantizer of ``network`` into ``mode``."""
    for module in network.modules():
        if isinstance(module, ActivationQuantizer | QuantizedConv2d):
            module.mode = mode


def set_momentum(network: nn.Module, momentum: float | None) -> None:
    """Let activation ranges follow the batches of training, or freeze them with None."""
    for module in activation_quantizers(network).values():
        module.momentum = momentum


def activation_quantizers(network: nn.Module) -> dict[str, ActivationQuantizer]:
    """Return every activation quantizer by its name in ``network``."""
    return {n: m for n, m in network.named_modules() if isinstance(m, ActivationQuantizer)}


def quantized_convolutions(network: nn.Module) -> dict[str, QuantizedConv2d]:
    """Return every convolution with int8 weights by its name in ``network``."""
    return {n: m for n, m in network.named_modules() if isinstance(m, QuantizedConv2d)}

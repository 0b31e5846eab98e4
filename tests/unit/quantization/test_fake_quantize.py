import pytest
import torch
from torch import nn

from erpose_edge.quantization.fake_quantize import (
    ActivationQuantizer,
    QuantizedConv2d,
    set_mode,
)
from erpose_edge.quantization.recipe import WeightRule


def quantizer(scale):
    made = ActivationQuantizer()
    made.scale.fill_(scale)
    made.mode = "fake"
    return made


def convolution(rule=None):
    torch.manual_seed(0)
    return QuantizedConv2d.from_float(nn.Conv2d(4, 6, 3), rule or WeightRule())


def test_activations_lie_on_the_grid_and_zero_stays_zero():
    x = torch.linspace(-10, 10, 1001)
    steps = quantizer(0.05)(x) / 0.05
    assert torch.allclose(steps, steps.round(), atol=1e-4)
    assert steps.min() == pytest.approx(-128)
    assert steps.max() == pytest.approx(127)
    assert quantizer(0.05)(torch.zeros(3)).eq(0).all()


def test_gradient_passes_inside_the_range_and_stops_outside():
    x = torch.tensor([-20.0, -1.0, 0.3, 20.0], requires_grad=True)
    quantizer(0.05)(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]


def test_every_channel_has_its_own_weight_scale():
    conv = convolution()
    with torch.no_grad():
        conv.weight[0] *= 100
    expected = conv.weight.detach().abs().amax((1, 2, 3)) / 127
    assert torch.equal(conv.weight_scale(), expected)
    assert conv.weight_scale()[0] > 10 * conv.weight_scale()[1:].max()
    # Every channel reaches the end of the integers, and none goes past it.
    assert conv.integer_weight().abs().amax((1, 2, 3)).tolist() == [127] * 6


def test_one_scale_for_all_channels_on_request():
    assert convolution(WeightRule(per_channel=False)).weight_scale().unique().numel() == 1


def test_seven_bits_end_at_63():
    assert convolution(WeightRule(bits=7)).integer_weight().abs().max() == 63


def test_integer_weights_are_the_fake_quantized_ones():
    conv = convolution()
    conv.mode = "fake"
    x = torch.eye(36).reshape(36, 4, 3, 3)  # reads every weight
    weights = conv.integer_weight().float() * conv.weight_scale()[:, None, None, None]
    expected = nn.functional.conv2d(x, weights, conv.bias)
    assert torch.allclose(conv(x), expected, atol=1e-6)


def test_a_dead_channel_has_a_positive_scale():
    conv = convolution()
    with torch.no_grad():
        conv.weight[2] = 0
    assert (conv.weight_scale() > 0).all()
    assert conv.integer_weight()[2].eq(0).all()


def test_float_mode_changes_nothing():
    module = nn.Sequential(ActivationQuantizer(), convolution())
    x = torch.rand(1, 4, 5, 5)
    expected = nn.functional.conv2d(x, module[1].weight, module[1].bias)
    set_mode(module, "float")
    assert torch.equal(module(x), expected)
    set_mode(module, "fake")
    assert not torch.equal(module(x), expected)


def test_shared_range_follows_the_largest_of_its_tensors_then_freezes():
    shared = quantizer(1.0).train()
    shared.momentum = 0.5
    shared(torch.tensor([127.0]))
    shared(torch.tensor([-381.0]))
    shared.follow_batch()
    assert shared.scale == pytest.approx(0.5 * 1.0 + 0.5 * 3.0)
    shared.momentum = None
    shared(torch.tensor([1270.0]))
    shared.follow_batch()
    assert shared.scale == pytest.approx(2.0)


def test_following_keeps_the_proportion_of_calibration():
    chosen = ActivationQuantizer()
    chosen.observer.add(torch.tensor([1.0, 2.0, 254.0] * 100 + [1.0] * 100_000))
    chosen.choose_range("percentile", 99.0)
    share = float(chosen.scale) * 127 / 254
    assert share < 0.1
    follower = ActivationQuantizer().train()
    follower.take_over(chosen)
    follower.mode, follower.momentum = "fake", 0.0
    follower(torch.tensor([508.0]))
    follower.follow_batch()
    assert follower.scale == pytest.approx(2 * float(chosen.scale), rel=1e-5)

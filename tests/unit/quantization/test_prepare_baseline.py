"""Fake-quantization takes the box-driven baseline as it takes every other network."""

from __future__ import annotations

import pytest
import torch
from quantized_network import float_network, smooth_images

from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.quantization.prepare import prepare, prepare_both_branches
from erpose_edge.quantization.recipe import load_policy


@pytest.fixture(scope="module")
def baseline():
    return float_network(boxes=True, one_to_one=False)


def test_unquantized_it_is_the_network(baseline):
    images = smooth_images(1, 0)
    both = prepare_both_branches(baseline, load_policy("default"))
    with torch.inference_mode():
        expected = baseline(images)
        one_to_one, dense = both(images)
        found = prepare(baseline, load_policy("default"))(images)
    assert one_to_one is None
    assert len(expected) == len(dense) == len(found) == 4
    for levels in (dense, found):
        for ours, theirs in zip(levels, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("policy", ["default", "narrow-weights"])
def test_the_outputs_stay_float_and_the_towers_do_not(baseline, policy):
    int8 = set(quantized_convolutions(prepare(baseline, load_policy(f"policies/{policy}"))))
    assert not [name for name in int8 if name.startswith("head.boxes")]
    assert {f"head.box_tower.{i}.{j}.conv" for i in range(3) for j in range(2)} <= int8

"""A float island is float work with int8 work on both sides; each costs two conversions."""

from __future__ import annotations

import pytest

from erpose_edge.exporters.islands import Layer, count_islands


def chain(*precisions, kind="Convolution"):
    """Return layers one behind the other."""
    return [Layer(kind, p, (i,), (i + 1,)) for i, p in enumerate(precisions)]


@pytest.mark.parametrize(
    ("precisions", "islands"),
    [
        (["f32", "f32"], 0),
        (["u8", "i8", "u8"], 0),
        (["f32", "u8", "u8", "f32", "f32"], 0),  # stem and outputs
        (["u8", "f32", "u8"], 1),
        (["u8", "f32", "f32", "f32", "u8"], 1),  # neighbours are one
        (["u8", "f32", "u8", "bf16", "u8"], 2),
        (["INT8", "FLOAT32", "INT8", "FLOAT32"], 1),
    ],
)
def test_neighbours_are_one_island_and_the_ends_are_none(precisions, islands):
    assert count_islands(chain(*precisions)) == islands


def test_what_only_changes_the_type_is_no_island():
    layers = chain("u8", "f32", "u8")
    for kind in ("Reorder", "QUANTIZE", "DEQUANTIZE"):
        layers[1] = Layer(kind, "f32", (1,), (2,))
        assert count_islands(layers) == 0


def test_branches_that_meet_are_one_island_and_those_that_do_not_are_two():
    first, last = Layer("Convolution", "u8", (0,), (1,)), Layer("Concat", "u8", (2, 3), (9,))
    branches = [Layer("Sigmoid", "f32", (1,), (2,)), Layer("Sigmoid", "f32", (1,), (3,))]
    assert count_islands([first, *branches, last]) == 2
    meeting = Layer("Multiply", "f32", (2, 3), (4,))
    end = Layer("Convolution", "u8", (4,), (9,))
    assert count_islands([first, *branches, meeting, end]) == 1


def test_a_float_branch_to_an_output_is_none():
    layers = [
        Layer("Convolution", "u8", (0,), (1,)),
        Layer("Convolution", "f32", (1,), (2,)),
        Layer("Convolution", "u8", (1,), (3,)),
    ]
    assert count_islands(layers) == 0

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erpose_edge.errors import ImageError
from erpose_edge.runtime.preprocess import PADDING, Preprocessor, letterbox, preprocess

sizes = st.tuples(st.integers(1, 500), st.integers(1, 500))
input_sizes = st.tuples(st.integers(1, 10), st.integers(1, 10)).map(
    lambda s: (32 * s[0], 32 * s[1])
)


def _random(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@given(sizes, input_sizes, st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_source_to_input_and_back_is_the_identity(size, input_size, x, y):
    _, box = letterbox(np.zeros((*size, 3), np.uint8), input_size)
    point = np.array([x, y])
    assert np.allclose(box.to_source(box.to_input(point)), point, atol=1e-6)
    assert np.allclose(box.to_input(box.to_source(point)), point, atol=1e-6)


@given(sizes, input_sizes)
def test_the_picture_is_centred_and_touches_two_sides(size, input_size):
    _, box = letterbox(np.zeros((*size, 3), np.uint8), input_size)
    height, width = size
    top_left = box.to_input(np.array([-0.5, -0.5])) + 0.5
    bottom_right = box.to_input(np.array([width - 0.5, height - 0.5])) + 0.5
    assert np.allclose(top_left, (box.pad_x, box.pad_y))
    right_bottom = np.array(input_size[::-1]) - bottom_right
    # An odd last row that halving leaves out may stick out by less than an input pixel.
    assert (abs(right_bottom - top_left) <= 1 + 1).all()
    assert min(top_left) == 0


@settings(max_examples=60)
@given(
    st.tuples(st.integers(60, 900), st.integers(60, 900)),
    st.floats(0.1, 0.9),
    st.floats(0.1, 0.9),
)
def test_a_bright_square_lands_where_to_input_says(size, x, y):
    side = max(3, min(size) // 8)
    left, top = int(x * (size[1] - side)), int(y * (size[0] - side))
    image = np.zeros((*size, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    boxed, box = letterbox(image, (128, 160))
    bright = np.where(boxed == PADDING, 0, boxed)[..., 0].astype(np.float64)
    rows, columns = np.mgrid[:128, :160]
    centre = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
    expected = box.to_input(np.array([left + (side - 1) / 2, top + (side - 1) / 2]))
    tolerance_px = 0.35  # a picture of less than the square's size cannot tell finer
    assert abs(centre - expected).max() < tolerance_px


def test_half_pixels_are_those_of_cv2_resize():
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], (100, 1, 3))
    boxed, box = letterbox(ramp, (250, 250))
    columns = np.arange(10, 240)
    source_x = box.to_source(np.stack([columns, columns], -1).astype(np.float64))[:, 0]
    assert abs(boxed[125, columns, 0] / 2 - source_x).max() <= 0.4  # px, from 8-bit arithmetic


def test_small_enlargements_equal_cv2_resize():
    image = _random((48, 64))
    boxed, _ = letterbox(image, (96, 160))
    assert np.array_equal(boxed[:, 16:144], cv2.resize(image, (128, 96)))
    assert (boxed[:, :16] == PADDING).all()
    assert (boxed[:, 144:] == PADDING).all()


def test_reduction_means_over_all_pixels_it_passes():
    checkers = np.zeros((512, 512, 3), np.uint8)
    checkers[::2, ::2] = checkers[1::2, 1::2] = 200
    boxed, _ = letterbox(checkers, (64, 64))
    assert abs(boxed.astype(int) - 100).max() <= 1


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (37, 501), (640, 640)])
def test_preprocess_is_letterbox_in_rgb_from_0_to_1(size):
    image = _random(size)
    images, box = preprocess(image, (320, 416))
    boxed, same_box = letterbox(image, (320, 416))
    assert box == same_box
    assert images.shape == (1, 3, 320, 416)
    assert images.dtype == np.float32
    expected = boxed[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / 255
    assert abs(images[0] - expected).max() < 1e-7
    assert 0 <= images.min() <= images.max() <= 1


def test_frames_of_another_size_leave_no_trace():
    kept = Preprocessor((64, 96))
    kept(_random((90, 20)))
    after, _ = kept(_random((20, 90)))
    fresh, _ = preprocess(_random((20, 90)), (64, 96))
    assert np.array_equal(after, fresh)


@given(st.lists(sizes, min_size=1, max_size=3), input_sizes)
def test_the_layout_of_the_memory_changes_no_value(frames, input_size):
    planes, rows = Preprocessor(input_size), Preprocessor(input_size, "NHWC")
    for seed, size in enumerate(frames):
        image = _random(size, seed)
        (ours, box), (theirs, same_box) = planes(image), rows(image)
        assert box == same_box
        assert np.array_equal(ours, theirs)
    assert ours.flags.c_contiguous
    assert theirs.transpose(0, 2, 3, 1).flags.c_contiguous


def test_memory_is_used_again():
    kept = Preprocessor((64, 96))
    first, _ = kept(_random((20, 90), 1))
    second, _ = kept(_random((20, 90), 2))
    assert first is second


def test_a_cut_out_of_a_picture_is_taken_as_it_is():
    image = _random((100, 100))
    whole, _ = preprocess(image[10:60, 20:80].copy(), (64, 64))
    view, _ = preprocess(image[10:60, 20:80], (64, 64))
    assert np.array_equal(whole, view)
    mirrored, _ = preprocess(image[:, ::-1], (64, 64))
    assert np.array_equal(mirrored, preprocess(image[:, ::-1].copy(), (64, 64))[0])


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (None, "NoneType"),
        (np.zeros((4, 4, 3), np.float32), "float32 (4, 4, 3)"),
        (np.zeros((4, 4), np.uint8), "uint8 (4, 4)"),
        (np.zeros((4, 4, 4), np.uint8), "uint8 (4, 4, 4)"),
        (np.zeros((0, 4, 3), np.uint8), "an empty array (0, 4, 3)"),
    ],
)
def test_other_arrays_are_refused(image, got):
    with pytest.raises(ImageError) as caught:
        preprocess(image, (64, 64))
    assert f"image: expected uint8 BGR of shape (H, W, 3), got {got};" in str(caught.value)

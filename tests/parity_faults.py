"""Captures of one small network, and the faults that `erpose-edge parity` has to find in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from erpose_edge.data.generated.scene import render_scene
from erpose_edge.deploy.default import weights_estimator
from erpose_edge.deploy.parity_sources import generated_pictures
from erpose_edge.exporters.stages import TorchLayers
from erpose_edge.network.checkpoint import Weights, load_weights, network_of, save_weights
from erpose_edge.quantization.calibrate import calibrate
from erpose_edge.quantization.checkpoint import deployed_network, quantized_weights
from erpose_edge.quantization.prepare import prepare
from erpose_edge.quantization.recipe import load_policy
from erpose_edge.resources import find_resource
from erpose_edge.runtime.preprocess import PADDING, Letterbox, preprocess
from erpose_edge.validate.parity.capture import Side, capture, versions

SIZE = (128, 128)
COUNT = 2
_TRAINED = "erpose-n"  # random weights amplify the noise of int8 beyond any budget


def write_weights(folder: Path) -> tuple[Path, Path]:
    """Write float weights and the same network quantized; return where."""
    trained = load_weights(find_resource("weights", _TRAINED))
    network = prepare(network_of(trained), load_policy("default"))
    pictures = [render_scene(seed, (480, 640))[0] for seed in range(50, 54)]
    images = [preprocess(picture, SIZE)[0] for picture in pictures]
    calibrate(network, images, observer="mse", percentile=99.99)
    real, int8 = folder / "float.safetensors", folder / "qat.safetensors"
    save_weights(real, trained)
    save_weights(int8, quantized_weights(network, trained.config, load_policy("default"), {}))
    return real, int8


def torch_capture(weights: Weights, precision: str, plant=None):
    """Return what torch computes; ``plant`` may change the estimator first."""
    estimator = weights_estimator(weights, precision, SIZE)
    if plant is not None:
        plant(estimator)
    network = deployed_network(weights, quantized=precision == "int8")
    layers = TorchLayers(network, estimator.runner)
    contract = estimator.contract
    side = Side(
        "torch", "weights", estimator.runner.engine, precision, contract.outputs, SIZE,
        contract.strides, contract.skeleton.name, contract.max_poses, contract.score_threshold,
        contract.nms, weights.sha256, "", versions(), layers.layers,
    )  # fmt: skip
    return capture(estimator, side, generated_pictures(COUNT, 1), layers)


def swap_channels(estimator):
    """Feed BGR."""
    right = estimator.preprocess

    def preprocess(frame):
        images, box = right(frame)
        return np.ascontiguousarray(images[:, ::-1]), box

    estimator.preprocess = preprocess


def do_not_divide(estimator):
    """Feed 0-255."""
    right = estimator.preprocess

    def preprocess(frame):
        images, box = right(frame)
        return images * np.float32(255), box

    estimator.preprocess = preprocess


def put_in_the_corner(estimator):
    """Letterbox without centring, and say so."""

    def preprocess(frame):
        images, box = _warped(frame, 0.0, corner=True)
        return images, box

    estimator.preprocess = preprocess


def forget_half_pixels(estimator):
    """Sample at x / scale, not at (x + 0.5) / scale - 0.5; the letterbox is the right one."""

    def preprocess(frame):
        return _warped(frame, 0.5, corner=False)

    estimator.preprocess = preprocess


def _warped(frame, shift, *, corner):
    height, width = frame.shape[:2]
    scale = min(SIZE[0] / height, SIZE[1] / width)
    pad_x = 0 if corner else (SIZE[1] - round(width * scale)) // 2
    pad_y = 0 if corner else (SIZE[0] - round(height * scale)) // 2
    half = 0.5 * scale - 0.5 if not shift else 0.0
    # Smoothed first as the right one is, so that the place is all that differs.
    smooth = cv2.blur(frame, (round(1 / scale),) * 2)
    matrix = np.array([[scale, 0, pad_x + half], [0, scale, pad_y + half]])
    warped = cv2.warpAffine(
        smooth, matrix, SIZE[::-1], flags=cv2.INTER_LINEAR, borderValue=(PADDING,) * 3
    )
    images = warped[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    box = Letterbox(scale, scale, pad_x, pad_y, (height, width), SIZE)
    return np.ascontiguousarray(images), box


def half_a_cell_off(estimator):
    """Decode as if grid points were corners of their cells, in the host."""
    right = estimator.decode

    def decode(outputs, box):
        moved = dict(outputs, keypoints=outputs["keypoints"] - np.float32(4))
        return right(moved, box)

    estimator.decode = decode


def map_back_without_padding(estimator):
    """Forget the bars when poses are mapped to the picture."""
    right = estimator.decode

    def decode(outputs, box):
        bare = Letterbox(box.scale_x, box.scale_y, 0, 0, box.source_size, box.input_size)
        return right(outputs, bare)

    estimator.decode = decode

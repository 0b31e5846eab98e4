"""Small labelled people and networks for tests of training: everything takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from erpose_edge.config import RunConfig, load_config
from erpose_edge.data.sample import VISIBLE, Sample
from erpose_edge.network.decode import grid_points
from erpose_edge.network.pose_network import Predictions
from erpose_edge.skeleton import COCO_17
from erpose_edge.training.people import People

INPUT_SIZE = (64, 64)
POINTS, STRIDES = grid_points(INPUT_SIZE)
SIGMAS = torch.tensor(COCO_17.sigmas)
K = len(COCO_17)

# From the box-driven baseline to ER-Pose, one idea after the other.
ABLATION = {
    "baseline": (
        "network.boxes=true",
        "network.one_to_one=false",
        "training.assignment.metric=box",
        "training.loss.smooth=0",
    ),
    "no box": (
        "network.one_to_one=false",
        "training.assignment.metric=box",
        "training.loss.smooth=0",
    ),
    "by keypoints": ("network.one_to_one=false", "training.loss.smooth=0"),
    "smooth OKS": ("network.one_to_one=false",),
    "one-to-one": (),
}

# One epoch of two batches on scenes that take milliseconds to draw.
SMALL_RUN = (
    "data.train=[{kind: generated, count: 8, seed: 100000, size: [64, 96]}]",
    "data.val={kind: generated, count: 2, seed: 0, size: [64, 96]}",
    "network.input_size=[64, 64]",
)


def small_config(*settings: str) -> RunConfig:
    """Return the tiny config on small scenes, with further ``settings``."""
    return load_config("tiny", [*SMALL_RUN, *settings])


def people_at(
    centres: Sequence[Sequence[tuple[float, float]]],
    *,
    size: float = 24.0,
    ignored: Sequence[tuple[float, float, float, float]] = (),
    seed: int = 0,
) -> People:
    """Return a batch of people, an image for each list of centres, every keypoint visible.

    Args:
        centres: x and y of the mean keypoint in input pixels, by image and person.
        size: Square root of every person's area, in pixels.
        ignored: Boxes in the first image that are neither person nor background.
        seed: Of the poses.
    """
    rng = np.random.default_rng(seed)
    most = max(1, *(len(image) for image in centres))
    keypoints = np.zeros((len(centres), most, K, 2), np.float32)
    present = np.zeros((len(centres), most), bool)
    for b, image in enumerate(centres):
        for n, centre in enumerate(image):
            pose = rng.uniform(-size / 2, size / 2, (K, 2))
            keypoints[b, n] = pose - pose.mean(0) + centre
            present[b, n] = True
    boxes = np.zeros((len(centres), max(1, len(ignored)), 4), np.float32)
    if ignored:
        boxes[0] = ignored
    labelled = np.repeat(present[..., None], K, -1)
    return People(
        keypoints=torch.from_numpy(keypoints),
        labelled=torch.from_numpy(labelled),
        visible=torch.from_numpy(labelled.astype(np.float32)),
        visibility_known=torch.from_numpy(labelled.copy()),
        areas=torch.from_numpy(np.where(present, size**2, 1).astype(np.float32)),
        boxes=torch.from_numpy(np.concatenate([keypoints.min(2), keypoints.max(2)], -1)),
        present=torch.from_numpy(present),
        ignored=torch.from_numpy(boxes),
    )


def guesses(people: People, noise: float = 3.0, seed: int = 0) -> Predictions:
    """Return predictions that meet people about as well as ``noise`` pixels at every grid point.

    Each grid point guesses the pose of its nearest person.
    """
    draw = torch.Generator().manual_seed(seed)
    centres = people.keypoints.mean(2).masked_fill(~people.present[..., None], 1e4)
    nearest = torch.cdist(centres, POINTS.expand(len(centres), -1, -1)).argmin(1)  # (B, G)
    poses = torch.stack([p[n] for p, n in zip(people.keypoints, nearest, strict=True)])
    spread = noise * (0.5 + torch.rand(nearest.shape, generator=draw))[..., None, None]
    return Predictions(
        scores=torch.randn(nearest.shape, generator=draw),
        keypoints=poses + spread * torch.randn(poses.shape, generator=draw),
        visibility=torch.randn(poses.shape[:-1], generator=draw),
    )


def dotted_sample(
    places: Sequence[tuple[float, float]], size: tuple[int, int] = (120, 160)
) -> Sample:
    """Return a dark image with one person, each of whose keypoints has a bright dot of its own.

    Dot k is a Gaussian of 2 px around ``places[k]``; keypoints without a place are unlabelled.
    """
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    image = np.zeros((*size, 3))
    for place in places:
        dot = 250 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 2.0**2))
        image = np.maximum(image, dot[..., None])
    keypoints = np.zeros((1, K, 2), np.float32)
    flags = np.zeros((1, K), np.int8)
    keypoints[0, : len(places)] = places
    flags[0, : len(places)] = VISIBLE
    low, high = np.min(places, axis=0), np.max(places, axis=0)
    return Sample(
        image=np.round(image).astype(np.uint8),
        keypoints=keypoints,
        flags=flags,
        boxes=np.array([[*(low - 8), *(high + 8)]], np.float32),
        areas=np.array([float(np.prod(high - low + 16))], np.float32),
        ignored=np.zeros(1, bool),
    )


def dot_near(
    image: NDArray[np.uint8], place: NDArray[np.float32], reach: int = 6
) -> NDArray[np.float64]:
    """Return the centre of brightness of ``image`` within ``reach`` pixels of ``place``."""
    x, y = np.round(place).astype(int)
    top, left = max(y - reach, 0), max(x - reach, 0)
    patch = image[top : y + reach + 1, left : x + reach + 1, 0].astype(np.float64)
    rows, columns = np.mgrid[top : top + patch.shape[0], left : left + patch.shape[1]]
    return np.array([(columns * patch).sum(), (rows * patch).sum()]) / patch.sum()

"""The logarithm of the OKS between every person of a batch and the poses of many grid points.

OKS of a pose far off is 0 in any float, its logarithm is not. Exact in float32 to 1e-4, or to
1e-6 of its value where that is more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from erpose_edge.training.people import People

_CHUNK = 2**18  # numbers in one buffer: it stays in a core's cache, and bounds the memory
_NOWHERE = 1e9  # pixels; an unlabelled keypoint lies there, so far off that it adds nothing
_NEGLIGIBLE = -80.0  # exp of less is a denormal number, which processors are slow with


@dataclass(frozen=True)
class Rows:
    """The people of a batch that can be learnt, without padding, in one list of P.

    Attributes:
        image: Index of the image (P,), ascending.
        person: Index in the image's list (P,), ascending within an image.
        places: Keypoints in input pixels, x and y apart (2, K, P); far away where unlabelled.
        labelled: True where a keypoint is labelled (K, P).
        areas: Square input pixels (P,).
    """

    image: Tensor
    person: Tensor
    places: Tensor
    labelled: Tensor
    areas: Tensor


def rows_of(people: People) -> Rows:
    """Return the people with a labelled keypoint."""
    image, person = (people.present & people.labelled.any(-1)).nonzero(as_tuple=True)
    labelled = people.labelled[image, person].T.contiguous()
    places = people.keypoints[image, person].permute(2, 1, 0).contiguous()
    places = places.masked_fill(~labelled, _NOWHERE)
    return Rows(image, person, places, labelled, people.areas[image, person])


def oks_weights(areas: Tensor, sigmas: Tensor) -> Tensor:
    """Return what squared distances are multiplied by (K, P), for areas (P,) and sigmas (K,)."""
    return 1 / (2 * areas * (2 * sigmas[:, None]).square())


def log_oks(poses: Tensor, rows: Rows, weights: Tensor) -> Tensor:
    """Return the log of the OKS of every person with every grid point of its image.

    Args:
        poses: x and y in input pixels (B, G, K, 2).
        rows: P people.
        weights: Of `oks_weights` (K, P).

    Returns:
        (P, G), at most 0. Beside it, memory is a few buffers of a fixed size.
    """
    ours = poses.permute(3, 2, 0, 1).contiguous()  # (2, K, B, G)
    count = ours.shape[-1]
    step = max(1, _CHUNK // max(1, weights.numel()))
    found = poses.new_empty(len(rows.image), count)
    for start in range(0, count, step):
        x, y = ours[..., start : start + step].index_select(2, rows.image)  # (K, P, step) each
        found[:, start : start + step] = _log_mean(x, y, rows, weights)
    return found


def log_oks_at(poses: Tensor, rows: Rows, weights: Tensor, points: Tensor) -> Tensor:
    """Return the same for a few grid points of each person, given by their indices (P, L)."""
    x, y = poses[rows.image[:, None], points].permute(3, 2, 0, 1).contiguous()
    return _log_mean(x, y, rows, weights)


def _log_mean(x: Tensor, y: Tensor, rows: Rows, weights: Tensor) -> Tensor:
    """Return log(mean over labelled keypoints of exp(-d^2 * weight)); overwrites x and y (K, P, C).

    The nearest keypoint's share is taken out of the sum, so that it cannot underflow.
    """
    x.sub_(rows.places[0, ..., None])
    y.sub_(rows.places[1, ..., None])
    x.mul_(x).addcmul_(y, y).mul_(weights[..., None])
    nearest = x.amin(0)
    shares = torch.sub(nearest, x, out=x).clamp_(min=_NEGLIGIBLE).exp_()
    return shares.sum(0).log_().sub_(nearest).sub_(rows.labelled.sum(0)[:, None].log())

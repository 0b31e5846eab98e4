"""The labelled people of a batch, padded to one size."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True)
class People:
    """Labels of a batch; N is the largest number of people in one image, the rest is padding.

    Attributes:
        keypoints: x and y in input pixels (B, N, K, 2).
        labelled: True where a keypoint is labelled and in the picture (B, N, K); no other
            keypoint gives a pose loss.
        visible: 1.0 where a keypoint is to be seen, 0.0 where it is hidden (B, N, K).
        visibility_known: True where ``visible`` is known (B, N, K); an unlabelled keypoint is
            not an absent one.
        areas: Square input pixels (B, N), positive.
        boxes: x0, y0, x1, y1 in input pixels (B, N, 4); nothing but box-driven training reads them.
        present: True for people with a labelled keypoint (B, N); False is padding.
        ignored: Boxes x0, y0, x1, y1 in input pixels (B, M, 4) of crowds and unlabelled people:
            neither person nor background. Padding boxes are empty.
    """

    keypoints: Tensor
    labelled: Tensor
    visible: Tensor
    visibility_known: Tensor
    areas: Tensor
    boxes: Tensor
    present: Tensor
    ignored: Tensor

    def to(self, device: object) -> People:
        """Return the same labels on another device."""
        return People(*(getattr(self, f.name).to(device) for f in fields(self)))

"""How much of a reference's AP is left, and how sure that is.

Both networks are measured on the same images, and images are drawn for both together: what is easy
or hard for both does not widen the interval, which is far narrower than that of either AP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import DataError
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.keypoint_ap import match_poses
from erpose_edge.metrics.resampling import DRAWS, INTERVAL, ResampledAP, draw_images
from erpose_edge.validate.budget import retention

if TYPE_CHECKING:
    from erpose_edge.runtime.poses import Poses
    from erpose_edge.skeleton import Skeleton


@dataclass(frozen=True)
class Retention:
    """A network's AP as a fraction of a reference's on the same images.

    Attributes:
        value: The fraction; above 1 it finds more than the reference.
        low: Lower end of its 95 % interval.
        high: Upper end.
        ap: Of the network.
        reference_ap: Of the reference.
    """

    value: float
    low: float
    high: float
    ap: float
    reference_ap: float

    def __str__(self) -> str:
        """Return it for people, in percent."""
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def measure_retention(
    images: Sequence[ImageLabels],
    reference: Mapping[int, Poses],
    poses: Mapping[int, Poses],
    skeleton: Skeleton,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Retention | None:
    """Return the retention with a 95 % interval of a paired bootstrap over images.

    The same arguments give the same interval. A draw in which the reference finds nobody says
    nothing and is left out.

    Args:
        images: Labelled images; those without poses, which could not be read, do not count.
        reference: Poses of the reference by image id, in source pixels.
        poses: Poses of the other network, on the same images.
        skeleton: Of all.
        draws: Sets of images to draw.
        seed: Of the draws.

    Returns:
        None where the reference finds nobody.

    Raises:
        DataError: The poses stand on different images, or on ones that are not in ``images``.
    """
    if set(reference) != set(poses):
        alone = sorted(set(reference) ^ set(poses))
        raise DataError(
            f"retention: expected poses of both networks on the same images, got image {alone[0]} "
            f"(and {len(alone) - 1} more) of one only; measure both on the same data"
        )
    measured = [image for image in images if image.image_id in poses]
    theirs = ResampledAP(match_poses(measured, reference, skeleton))
    ours = ResampledAP(match_poses(measured, poses, skeleton))
    everything = np.ones(len(measured), np.int64)
    ap, reference_ap = ours(everything), theirs(everything)
    value = retention(ap, reference_ap)
    if value is None:
        return None
    drawn = (retention(ours(t), theirs(t)) for t in draw_images(len(measured), draws, seed))
    # The images as they are count as one draw, so that there always is one.
    low, high = np.percentile([value, *(part for part in drawn if part is not None)], INTERVAL)
    return Retention(value, float(low), float(high), ap, reference_ap)

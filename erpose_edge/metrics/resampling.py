"""AP of drawn images: how far a number would move with other images of the same kind.

Poses are matched once for each image; a draw only says how often each image counts. That gives the
very AP of a set in which the image stands so often.

Ref: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from erpose_edge.metrics.keypoint_ap import RECALLS, UNDEFINED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.outcomes import Outcomes

INTERVAL = (2.5, 97.5)  # percentiles of the draws
DRAWS = 1000
_AT_ONCE = 1_000_000  # numbers of one array; what is larger only waits for memory


class _Ranked(NamedTuple):
    """Poses by score at one threshold.

    Attributes:
        right: Which are right, ascending, (R,).
        dropped: Which do not count, ascending, (N,).
        dropped_before: How many of those stand before each right one, (R,).
    """

    right: NDArray[np.intp]
    dropped: NDArray[np.intp]
    dropped_before: NDArray[np.intp]

    @classmethod
    def of(cls, right: NDArray[np.bool_], counts: NDArray[np.bool_]) -> _Ranked:
        found, dropped = np.flatnonzero(right), np.flatnonzero(~counts)
        return cls(found, dropped, np.searchsorted(dropped, found))


class ResampledAP:
    """AP over OKS 0.50 to 0.95, for any number of times that each image counts."""

    def __init__(self, outcomes: Outcomes, area: int = 0) -> None:
        """Sort what became of every pose.

        Args:
            outcomes: Of all images.
            area: Index into ``matching.AREA_RANGES``; all areas by default.
        """
        order = np.argsort(-outcomes.scores, kind="stable")
        counts = ~outcomes.ignored[area][:, order]
        kept = counts.any(axis=0)  # nearly the same poses count at every threshold
        self._image = outcomes.image[order][kept]
        self._people = outcomes.people[:, area]
        right = outcomes.right[area][:, order] & counts
        self._ranked = [_Ranked.of(r, c) for r, c in zip(right[:, kept], counts[:, kept])]

    def __call__(self, times: NDArray[np.int64]) -> float:
        """Return the AP of a set that has image ``i`` (by ascending id) ``times[i]`` times, (I,).

        -1 where nobody is to be found.
        """
        return float(self.of_draws(times[None])[0])

    def of_draws(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the AP of each of B sets, (B,); ``times`` as in a call, (B, I)."""
        step = max(1, _AT_ONCE // max(1, len(self._image)))
        parts = [self._of_some(times[at : at + step]) for at in range(0, len(times), step)]
        return np.concatenate([np.zeros(0), *parts])

    def _of_some(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        people = times @ self._people
        of_pose = times[:, self._image]
        before = of_pose.cumsum(axis=1)
        curves = [
            _precision_curves(of_pose, before, ranked, np.maximum(people, 1))
            for ranked in self._ranked
        ]
        ap = np.concatenate(curves, axis=1).mean(axis=1)
        return np.where(people > 0, ap, UNDEFINED)


def draw_images(images: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Return how often each of some images stands in each draw of as many, (draws, images)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = generator.integers(0, images, (draws, images))
    return np.stack([np.bincount(draw, minlength=images) for draw in chosen])


def _precision_curves(
    times: NDArray[np.int64],
    until: NDArray[np.int64],
    ranked: _Ranked,
    people: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the precision at each of the 101 recalls, for each of B sets, (B, 101).

    The curve has its corners at right poses, and the copies of a right pose only raise it.

    Args:
        times: How often each pose stands in each set, best first, (B, M).
        until: Its sum up to each pose, (B, M).
        ranked: What the poses are at a threshold.
        people: To find, (B,), at least 1.
    """
    count = len(ranked.right)
    if not count:
        return np.zeros((len(times), len(RECALLS)))
    found = times[:, ranked.right].cumsum(axis=1)  # (B, R)
    dropped = np.pad(times[:, ranked.dropped].cumsum(axis=1), ((0, 0), (1, 0)))
    counted = until[:, ranked.right] - dropped[:, ranked.dropped_before]
    precision = found / (counted + np.spacing(1))
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # best at this recall on
    # One sorted search for all sets: each set's counts are lifted above those of the set before.
    lift = np.arange(len(times))[:, None] * (int(people.max()) + 2)
    places = np.searchsorted((found + lift).ravel(), _least_found(people) + lift)
    places -= np.arange(len(times))[:, None] * count
    return np.take_along_axis(np.pad(falling, ((0, 0), (0, 1))), places, axis=1)


def _least_found(people: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the smallest number found that reaches each recall, (B, 101)."""
    least = np.floor(RECALLS * people[:, None]) - 1
    for _ in range(2):  # the rounding of `found / people` decides, as where AP is computed
        least += least / people[:, None] < RECALLS
    return least.astype(np.int64)

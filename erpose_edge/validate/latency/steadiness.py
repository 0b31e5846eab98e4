"""Whether a run can be trusted: what was not steady in it, and why, in words.

Ref: Mann and Whitney (1947), https://doi.org/10.1214/aoms/1177730491, for the test of drift.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.validate.latency.turns import UNSTABLE_ABOVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

DRIFT_ABOVE = 0.025  # last third against first
_CERTAIN = 2.58  # standard deviations of the rank sum: one of 100 steady runs is beyond
SLOW_ABOVE = 1.10  # times the median, a whole slice long
OUTLIER_ABOVE = 1.5  # times the median
OUTLIERS_ABOVE = 0.01  # of all frames
CLOCK_ABOVE = 0.05  # last third of the samples against the first
OTHERS_ABOVE = (0.1, 0.025)  # cores; or, if that is more, part of all cores
_MOST_SLICES, _FEWEST_IN_SLICE = 50, 5
_FEWEST_OF_A_PICTURE = 8
_FEWEST_CLOCKS = 6
_SHORTEST_S = 0.5  # /proc/stat counts hundredths of a second


@dataclass(frozen=True)
class Steadiness:
    """How steady the frames of a run were.

    Attributes:
        coefficient_of_variation: Standard deviation over mean of the medians of up to 50 slices of
            the run.
        drift: By what part the median of the last third lies above that of the first.
        drift_certain: The two thirds differ by more than chance.
        outliers: Part of the frames that took more than 1.5 times the median.
        outlier_frames: How many.
        slow_spells: [first second, last second, times the median] of slices that were slow.
    """

    coefficient_of_variation: float
    drift: float
    drift_certain: bool
    outliers: float
    outlier_frames: int
    slow_spells: tuple[tuple[float, float, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {**asdict(self), "slow_spells": [list(spell) for spell in self.slow_spells]}

    def reasons(self) -> list[str]:
        """Return what makes the run unstable, one sentence each."""
        reasons = []
        if self.coefficient_of_variation > UNSTABLE_ABOVE:
            reasons.append(
                f"variation: slices of the run differ by {self.coefficient_of_variation:.1%}, "
                f"more than {UNSTABLE_ABOVE:.1%}"
            )
        if self.drift_certain and abs(self.drift) > DRIFT_ABOVE:
            word = "longer" if self.drift > 0 else "shorter"
            reasons.append(
                f"drift: frames of the last third took {abs(self.drift):.1%} {word} than those of "
                "the first"
            )
        if self.slow_spells:
            first, last, times = max(self.slow_spells, key=lambda spell: spell[2])
            reasons.append(
                f"slow spell: from second {first:.1f} to {last:.1f} frames took {times:.2f} times "
                f"the median; {len(self.slow_spells)} such in the run"
            )
        if self.outlier_frames > 1 and self.outliers > OUTLIERS_ABOVE:
            reasons.append(
                f"outliers: {self.outliers:.1%} of the frames took more than {OUTLIER_ABOVE} times "
                f"the median, allowed is {OUTLIERS_ABOVE:.0%}"
            )
        return reasons


def steadiness(marks_ns: NDArray[np.int64], pictures: NDArray[np.int64]) -> Steadiness:
    """Look for what was not steady.

    Frames are compared with others of the same picture where each was timed 8 times or more, so
    that large pictures among small ones do not count as a change.

    Args:
        marks_ns: When each frame was begun, ..., decoded, (N, 4), N at least 2.
        pictures: Which picture each was, (N,).
    """
    relative = _relative((marks_ns[:, 3] - marks_ns[:, 0]).astype(np.float64), pictures)
    count = len(relative)
    slices = max(2, min(_MOST_SLICES, count // _FEWEST_IN_SLICE))
    parts = np.array_split(np.arange(count), slices)
    medians = np.array([np.median(relative[part]) for part in parts])
    third = max(count // 3, 1)
    first, last = relative[:third], relative[-third:]
    outlying = int(np.count_nonzero(relative > OUTLIER_ABOVE))
    return Steadiness(
        coefficient_of_variation=_rounded(medians.std(ddof=1) / medians.mean()),
        drift=_rounded(np.median(last) / np.median(first) - 1),
        drift_certain=bool(abs(rank_sum_deviation(first, last)) > _CERTAIN),
        outliers=_rounded(outlying / count),
        outlier_frames=outlying,
        slow_spells=_spells(marks_ns, parts, medians),
    )


def rank_sum_deviation(first: NDArray[np.float64], last: NDArray[np.float64]) -> float:
    """Return by how many standard deviations the ranks of ``last`` (n,) lie above chance.

    Ties share their ranks, and lessen the deviation as Mann and Whitney's test has it.
    """
    together = np.concatenate([first, last])
    _, group, sizes = np.unique(together, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group.ravel()]
    n, m, total = len(first), len(last), len(together)
    tied = float((sizes.astype(np.float64) ** 3 - sizes).sum()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - tied)
    if variance <= 0:  # all are the same
        return 0.0
    return float((ranks[n:].sum() - m * (total + 1) / 2) / np.sqrt(variance))


def clock_reasons(clocks_mhz: Mapping[str, Sequence[float | None]]) -> list[str]:
    """Return the clocks that were not the same at the end as at the beginning, in words.

    Args:
        clocks_mhz: Samples in the order of time, by clock; None where nothing was read.
    """
    reasons = []
    for name, samples in clocks_mhz.items():
        there = [value for value in samples if value]  # a GPU that sleeps has clock 0
        if len(there) < _FEWEST_CLOCKS:
            continue
        third = len(there) // 3
        first, last = (float(np.median(part)) for part in (there[:third], there[-third:]))
        if abs(last / first - 1) > CLOCK_ABOVE:
            word = "rose" if last > first else "fell"
            reasons.append(f"clock: {name} {word} from {first:.0f} to {last:.0f} MHz")
    return reasons


def background_reasons(background: Mapping[str, Any]) -> list[str]:
    """Return who else used the processors, in words.

    Args:
        background: As `Background.to_json` gives it.
    """
    wall_s, cores = background["wall_s"], background["cores"]
    if cores is None or wall_s < _SHORTEST_S:
        return []
    least, part = OTHERS_ABOVE
    limit = max(least, part * cores)
    who = (
        ("background load: other processes used", background["others_s"]),
        ("host: the host of this virtual machine took", background["host_s"]),
    )
    return [
        f"{words} {seconds / wall_s:.2f} of {cores} cores, allowed is {limit:.2f}"
        for words, seconds in who
        if seconds is not None and seconds / wall_s > limit
    ]


def _relative(total: NDArray[np.float64], pictures: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each frame's time over the median of its picture's, or of all."""
    _, group, sizes = np.unique(pictures, return_inverse=True, return_counts=True)
    if sizes.min() < _FEWEST_OF_A_PICTURE:
        return total / max(float(np.median(total)), 1.0)
    medians = np.array([np.median(total[group.ravel() == g]) for g in range(len(sizes))])
    return np.asarray(total / np.maximum(medians, 1.0)[group.ravel()])


def _spells(
    marks_ns: NDArray[np.int64], parts: list[NDArray[np.int64]], medians: NDArray[np.float64]
) -> tuple[tuple[float, float, float], ...]:
    """Join neighbouring slow slices."""
    slow = medians > SLOW_ABOVE * np.median(medians)
    begun = marks_ns[0, 0]
    spells: list[tuple[float, float, float]] = []
    for number, part in enumerate(parts):
        if not slow[number]:
            continue
        first = round(float(marks_ns[part[0], 0] - begun) / 1e9, 3)
        last = round(float(marks_ns[part[-1], 3] - begun) / 1e9, 3)
        times = _rounded(medians[number] / np.median(medians))
        if number and slow[number - 1]:
            before = spells.pop()
            first, times = before[0], max(before[2], times)
        spells.append((first, last, times))
    return tuple(spells)


def _rounded(value: float) -> float:
    return round(float(value), 4)

"""Judge measured candidates of one network against the budget of a device.

Candidates stand in the order of a ladder: the fewest bits first, fp32 last. The first that keeps
the budget and is not slower than one that keeps more bits is chosen. Every other one says why not,
so that a failed deployment names the number that failed it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from erpose_edge.errors import EXIT_ACCURACY, EXIT_LATENCY, EXIT_PASS, EXIT_TARGET

# Two medians, timed in turns, that differ by less are the same: as latency.UNSTABLE_ABOVE.
SAME_WITHIN = 0.025


@dataclass(frozen=True)
class Budget:
    """What an artifact must keep; None asks for nothing.

    Attributes:
        min_retention: Smallest keypoint AP as a fraction of fp32's on the same images.
        max_p99_ms: Largest 99th percentile of the end-to-end latency, ms.
        min_speedup_vs_fp32: Smallest ratio of the median latencies, fp32 over this one.
        max_jitter: Largest jitter of keypoints on a clip, percent of a person's diagonal.
        min_int8_share: Smallest part of the artifact's int8 convolutions that run in int8.
    """

    min_retention: float | None = None
    max_p99_ms: float | None = None
    min_speedup_vs_fp32: float | None = None
    max_jitter: float | None = None
    min_int8_share: float | None = None


@dataclass(frozen=True)
class Candidate:
    """One artifact as measured.

    Attributes:
        precision: fp32, fp16, int8, or mixed: int8 with more layers in float.
        ap: Keypoint AP; None where the engine refused the network.
        retention: ``ap`` as a fraction of fp32's; None where fp32 finds nobody.
        p50_ms: Median end-to-end latency, ms; None where it was not measured.
        p99_ms: Its 99th percentile, ms; None likewise.
        size_mb: Of all files, 10^6 bytes; None where the engine refused the network.
        speedup_vs_fp32: Ratio of the median inference times, timed in turns; None for fp32
            itself, and where it was not measured.
        refused: Why there is no artifact; None where there is one.
        jitter: Of keypoints on a clip, percent of a person's diagonal; None where no clip was
            measured, NaN where nobody was found in it.
        int8_share: Part of its int8 convolutions that run in int8; None where it has none, or the
            engine does not tell.
    """

    precision: str
    ap: float | None
    retention: float | None
    p50_ms: float | None
    p99_ms: float | None
    size_mb: float | None
    speedup_vs_fp32: float | None = None
    refused: str | None = None
    jitter: float | None = None
    int8_share: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of the candidates.

    Attributes:
        chosen: Precision of the first candidate within budget, or None.
        candidates: As given.
        rejected: For each candidate, the first reason against it, or None.
        exit_code: 0, or which budget nobody kept: 3 accuracy, 4 latency, 5 placement.
        judged_time: False where only accuracy was: the times are another machine's, or none.
    """

    chosen: str | None
    candidates: tuple[Candidate, ...]
    rejected: tuple[str | None, ...]
    exit_code: int
    judged_time: bool = True

    @property
    def passed(self) -> bool:
        """True when a candidate was chosen."""
        return self.chosen is not None

    def to_json(self) -> dict[str, Any]:
        """Return the keys of ``schemas/deploy.json`` that a verdict knows; ``artifact`` is not."""
        return {
            "verdict": "pass" if self.passed else "fail",
            "chosen": self.chosen,
            "judged_time": self.judged_time,
            "candidates": [
                {
                    "precision": candidate.precision,
                    "ap": candidate.ap,
                    "retention": candidate.retention,
                    "p50_ms": candidate.p50_ms,
                    "p99_ms": candidate.p99_ms,
                    "size_mb": candidate.size_mb,
                    "speedup_vs_fp32": candidate.speedup_vs_fp32,
                    "rejected": reason,
                }
                for candidate, reason in zip(self.candidates, self.rejected)
            ],
        }


def retention(ap: float, reference_ap: float) -> float | None:
    """Return ``ap`` as a fraction of fp32's, or None where fp32 finds nobody (AP 0 or -1)."""
    return max(ap, 0.0) / reference_ap if reference_ap > 0 else None


def judge(candidates: Sequence[Candidate], budget: Budget, *, time: bool = True) -> Verdict:
    """Choose the first candidate within ``budget`` that no later one within it is faster than.

    Without one the exit code tells what to work on: 4 when somebody kept the other budgets, so that
    only time was missing; 5 when somebody kept the accuracy budget, but did not run in the
    precision that it was made for; else 3.

    Args:
        candidates: In the order in which they are preferred.
        budget: What has to be kept.
        time: Judge latency too; False where this machine is not the device.
    """
    lossy = [_accuracy_miss(candidate, budget) for candidate in candidates]
    placed = [_placement_miss(candidate, budget) for candidate in candidates]
    missed = [
        candidate.refused or loss or place or (_time_miss(candidate, budget) if time else None)
        for loss, place, candidate in zip(lossy, placed, candidates)
    ]
    kept = [candidate for candidate, miss in zip(candidates, missed) if miss is None]
    rejected = tuple(
        miss or (_slower_than_later(candidate, kept) if time else None)
        for candidate, miss in zip(candidates, missed)
    )
    chosen = candidates[rejected.index(None)].precision if None in rejected else None
    code = EXIT_PASS
    if chosen is None:
        accurate = [
            place
            for candidate, loss, place in zip(candidates, lossy, placed)
            if candidate.refused is None and loss is None
        ]
        code = EXIT_LATENCY if None in accurate else EXIT_TARGET if accurate else EXIT_ACCURACY
    return Verdict(chosen, tuple(candidates), rejected, code, time)


def _accuracy_miss(candidate: Candidate, budget: Budget) -> str | None:
    return _retention_miss(candidate, budget) or _jitter_miss(candidate, budget)


def _retention_miss(candidate: Candidate, budget: Budget) -> str | None:
    if budget.min_retention is None:
        return None
    if candidate.retention is None:
        return "retention: expected an fp32 AP above 0 to compare with, got none; train the weights"
    if not candidate.retention >= budget.min_retention:  # so that NaN never passes
        return (
            f"retention: expected at least {budget.min_retention:.2%} of fp32's AP, "
            f"got {candidate.retention:.2%}"
        )
    return None


def _jitter_miss(candidate: Candidate, budget: Budget) -> str | None:
    most, jitter = budget.max_jitter, candidate.jitter
    if most is None or jitter is None or jitter <= most:
        return None
    got = "nobody found long enough" if math.isnan(jitter) else f"{jitter:.3f} %"
    return f"jitter: expected at most {most:g} % of a person's diagonal, got {got}"


def _placement_miss(candidate: Candidate, budget: Budget) -> str | None:
    least, share = budget.min_int8_share, candidate.int8_share
    if least is None or share is None or share >= least:
        return None
    return (
        f"int8 share: expected at least {least:.1%} of the int8 convolutions to run in int8, "
        f"got {share:.1%}"
    )


def _time_miss(candidate: Candidate, budget: Budget) -> str | None:
    p99_ms, least = candidate.p99_ms, budget.min_speedup_vs_fp32
    if budget.max_p99_ms is not None and p99_ms is not None and not p99_ms <= budget.max_p99_ms:
        return f"p99: expected at most {budget.max_p99_ms:g} ms, got {p99_ms:.2f} ms"
    speedup = candidate.speedup_vs_fp32
    if least is not None and speedup is not None and not speedup >= least:
        return f"speed: expected at least {least:g} x fp32's, got {speedup:.2f} x"
    return None


def _slower_than_later(candidate: Candidate, kept: Sequence[Candidate]) -> str | None:
    """Return the reason if one of ``kept`` behind ``candidate`` is as good and faster."""
    own = _speed(candidate)
    behind = kept[kept.index(candidate) + 1 :]
    faster = [other for other in behind if _speed(other) > own * (1 + SAME_WITHIN)]
    if not faster:
        return None
    best = max(faster, key=_speed)
    return f"{_speed(best) / own:.2f}x slower than {best.precision}"


def _speed(candidate: Candidate) -> float:
    """Return how fast the engine is, as a multiple of fp32."""
    return 1.0 if candidate.speedup_vs_fp32 is None else candidate.speedup_vs_fp32

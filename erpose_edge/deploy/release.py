"""From a deployment with a verdict to the bundle that a board gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.deploy.bundle.export import extra_files
from erpose_edge.deploy.bundle.write import write_bundle
from erpose_edge.deploy.ladder import Deployment
from erpose_edge.deploy.rungs import REFERENCE, Rung
from erpose_edge.errors import RequestError
from erpose_edge.runtime.bundle import Bundle, ReferenceAP

_FLOAT = ("fp16", REFERENCE)


def write_release(
    result: Deployment, rungs: Sequence[Rung], folder: Path, *, compare: bool
) -> Bundle:
    """Write the bundle of the chosen artifact.

    Args:
        result: A deployment that chose one.
        rungs: That it tried.
        folder: Of the bundle; an earlier one is replaced.
        compare: Put fp16 and fp32 beside it, where they kept the accuracy, so that the board can
            say which is faster.

    Raises:
        RequestError: Nothing was chosen, or ``folder`` holds something else.
    """
    name = result.verdict.chosen
    if name is None:
        raise RequestError("bundle: expected an artifact within the budget, got none; see above")
    chosen = result.artifacts[name]
    artifacts = {name: chosen}
    if compare:
        rows = zip(result.verdict.candidates, result.verdict.rejected, strict=True)
        kept = {row.precision for row, reason in rows if reason is None} | {REFERENCE}
        artifacts.update((n, a) for n, a in result.artifacts.items() if n in kept & set(_FLOAT))
    rung = next(rung for rung in rungs if rung.name == name)
    extra = extra_files(artifacts, result.profile, lambda _: rung.weights)
    return write_bundle(folder, artifacts, result.profile, extra, _reference(result))


def _reference(result: Deployment) -> ReferenceAP | None:
    """Return fp32's AP where the board can draw the same scenes."""
    samples = result.evaluation.samples
    if not isinstance(samples, GeneratedPeople):
        return None
    ap = result.accuracy[REFERENCE].metrics.ap
    return ReferenceAP(scenes=samples.count, seed=samples.seed, ap=ap)

"""One scenario as a certificate holds it: raw samples, what was watched, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import IntegrityError
from erpose_edge.validate.latency.packing import packed, unpacked
from erpose_edge.validate.latency.scenario import (
    CAMERA,
    MULTI_STREAM,
    SAMPLES_PER_QUERY,
    SCENARIOS,
    Request,
    Run,
)
from erpose_edge.validate.latency.statistics import statistics
from erpose_edge.validate.latency.steadiness import (
    background_reasons,
    clock_reasons,
    steadiness,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEW_QUERIES = 100  # with fewer, the 99th percentile is nearly the longest


def scenario_document(
    request: Request,
    run: Run,
    frames: dict[str, Any],
    machine: dict[str, Any],
    watched: dict[str, Any],
    cold_start_ns: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Return everything about one scenario as plain JSON values.

    Raw (nobody can compute it afterwards):

    - ``scenario`` and ``request``: what was asked for (`Request.to_json`).
    - ``frames``: the pictures (`FrameSet.to_json`).
    - ``engine``, ``threads``, ``cpu``: what it ran on, from ``machine``.
    - ``samples_ns``: (N, 4) moments when each frame was begun, preprocessed, inferred, decoded.
    - ``pictures``: (N,) which picture each was. ``picture_ns``: (M, 2) begin and end of decoding a
      picture file. ``device_ns``: (N, 3) durations of h2d, compute, d2h, or null. ``arrivals``:
      (N, 2) number and moment of arrival of a camera's frames, or null. ``cold_start_ns``: (3,)
      begin of loading, its end, first poses, or null.
    - ``background`` (`Background.to_json`), ``memory`` (`memory_peak`), ``telemetry`` (``summary``
      and ``series``, or null), ``settings_changes``: settings that changed meanwhile, in words.

    Each array is {"shape", "dtype": "<i8", "base64"}: nanoseconds of one monotonic clock.

    Computed from these alone, by `recompute`:

    - ``statistics``: see `erpose_edge.validate.latency.statistics.statistics`; with ``steadiness``
      (`Steadiness.to_json`), ``frame_mj`` (energy of the run over its frames, or null) and
      ``cold_start``: ``load_ms`` and ``first_pose_ms``, or null.
    - ``unstable``: why the numbers cannot be trusted, in words; empty for a steady run.
    - ``notes``: what is missing or weak, in words.

    Args:
        request: What was asked for.
        run: What was measured.
        frames: As `FrameSet.to_json` gives it.
        machine: ``engine``, ``threads`` and ``cpu``.
        watched: ``background``, ``memory``, ``telemetry`` and ``settings_changes`` as above.
        cold_start_ns: As `open_timed` gives it.
    """
    arrays = {"device_ns": run.device_ns, "arrivals": run.arrivals, "cold_start_ns": cold_start_ns}
    return recompute(
        {
            "scenario": request.scenario,
            "request": request.to_json(),
            "frames": frames,
            **machine,
            "samples_ns": packed(run.marks_ns),
            "pictures": packed(run.pictures),
            "picture_ns": packed(run.picture_ns),
            **{name: None if a is None else packed(a) for name, a in arrays.items()},
            **watched,
        }
    )


def recompute(document: dict[str, Any]) -> dict[str, Any]:
    """Return a scenario's document with everything that is computed computed anew.

    A document that was not altered comes back equal.

    Args:
        document: As `scenario_document` returned it, or as a JSON parser did.

    Raises:
        IntegrityError: A raw part is missing, of another shape, or cannot be.
    """
    scenario = document.get("scenario")
    if scenario not in SCENARIOS:
        raise IntegrityError(f"scenario: expected one that is known, got {scenario!r}; {_AGAIN}")
    run = _run(scenario, document)
    steady = steadiness(run.marks_ns, run.pictures)
    try:
        telemetry = document["telemetry"]
        watched = background_reasons(document["background"])
        watched += _machine_reasons(telemetry) + [
            f"settings: {change}" for change in document["settings_changes"]
        ]
        energy = None if telemetry is None else telemetry["summary"]["energy_mj"]
        found = {
            **statistics(scenario, run),
            "steadiness": steady.to_json(),
            "frame_mj": None if energy is None else round(energy / len(run.marks_ns), 3),
            "cold_start": _cold_start(document["cold_start_ns"]),
        }
        notes = _notes(scenario, found, document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            f"{scenario}: expected what was watched meanwhile, got none or others ({error}); "
            f"{_AGAIN}"
        ) from None
    computed = {"statistics": found, "unstable": [*steady.reasons(), *watched], "notes": notes}
    return {**document, **computed}


_AGAIN = "measure again"
_OPTIONAL = {"device_ns": 3, "arrivals": 2}


def _run(scenario: str, document: dict[str, Any]) -> Run:
    """Return the raw samples, once they are ones that a clock can have given."""
    marks = unpacked(document.get("samples_ns"), f"{scenario} samples_ns", 4)
    pictures = unpacked(document.get("pictures"), f"{scenario} pictures")
    picture_ns = unpacked(document.get("picture_ns"), f"{scenario} picture_ns", 2)
    more = {
        name: None if document.get(name) is None else unpacked(document[name], name, columns)
        for name, columns in _OPTIONAL.items()
    }
    lengths = [len(array) for array in (pictures, *more.values()) if array is not None]
    if len(marks) < 2 or set(lengths) != {len(marks)}:
        raise IntegrityError(
            f"{scenario}: expected {len(marks)} frames in every array, at least 2, got "
            f"{sorted(set(lengths))}; {_AGAIN}"
        )
    if scenario == MULTI_STREAM and len(marks) % SAMPLES_PER_QUERY:
        raise IntegrityError(
            f"{scenario}: expected queries of {SAMPLES_PER_QUERY} frames, got {len(marks)} frames; "
            f"{_AGAIN}"
        )
    run = Run(marks, pictures, picture_ns, more["device_ns"], more["arrivals"])
    if (scenario == CAMERA) != (run.arrivals is not None) or not _in_order(run):
        raise IntegrityError(
            f"{scenario}: expected moments in the order of a clock, got others; {_AGAIN}"
        )
    return run


def _in_order(run: Run) -> bool:
    moments, picture_ns = run.marks_ns.ravel(), run.picture_ns
    order = [moments >= 0, moments[1:] >= moments[:-1], run.marks_ns[:, 3] > run.marks_ns[:, 0]]
    order += [picture_ns >= 0, picture_ns[:, 1] >= picture_ns[:, 0], run.pictures >= 0]
    if run.device_ns is not None:
        order.append(run.device_ns >= 0)
    if run.arrivals is not None:
        numbers, arrived = run.arrivals.T
        order += [run.arrivals >= 0, numbers[1:] > numbers[:-1], arrived <= run.marks_ns[:, 0]]
    return all(bool(part.all()) for part in order)


def _machine_reasons(telemetry: dict[str, Any] | None) -> list[str]:
    if telemetry is None:
        return []
    return [*telemetry["summary"]["throttled"], *clock_reasons(telemetry["series"]["clocks_mhz"])]


def _cold_start(document: object) -> dict[str, float] | None:
    if document is None:
        return None
    moments = unpacked(document, "cold_start_ns")
    if moments.shape != (3,) or moments[0] < 0 or (moments[1:] < moments[:-1]).any():
        raise IntegrityError(f"cold_start_ns: expected 3 moments in order, got others; {_AGAIN}")
    load, first = (round(float(part) / 1e6, 3) for part in np.diff(moments))
    return {"load_ms": load, "first_pose_ms": first}


def _notes(scenario: str, found: dict[str, Any], document: dict[str, Any]) -> list[str]:
    notes = []
    size = SAMPLES_PER_QUERY if scenario == MULTI_STREAM else 1
    queries = found["samples"] // size
    if queries < _FEW_QUERIES:
        what = "queries" if size > 1 else "frames"
        notes.append(f"p99: of {queries} {what} only, it is nearly the longest; measure longer")
    if document["background"]["cores"] is None:
        notes.append("background load: unknown, this system does not tell")
    telemetry = document["telemetry"]
    return notes + (["telemetry: none"] if telemetry is None else telemetry["summary"]["notes"])

"""One page of certificates that were verified."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from erpose_edge.deploy.report import charts, series, tables
from erpose_edge.deploy.report.entries import Certificate, read_certificates
from erpose_edge.deploy.report.table import Table
from erpose_edge.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from erpose_edge.deploy.report.charts import Chart
    from erpose_edge.deploy.report.entries import Entry

_TEMPLATES = files("erpose_edge") / "deploy" / "report" / "templates"


@dataclass(frozen=True)
class Group:
    """A part of a section: what there is about one certificate, or about all.

    Attributes:
        title: Heading; empty where the section's is enough.
        charts: With their numbers.
        tables: That have no chart.
        notes: What to know, a line each.
    """

    title: str
    charts: Sequence[Chart]
    tables: Sequence[Table]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A section of the page."""

    name: str
    title: str
    groups: Sequence[Group]


def report_of(
    paths: Sequence[Path], title: str = "Pose networks on devices", key: bytes | None = None
) -> str:
    """Return certificates as one HTML page that needs nothing else.

    The same certificates give the same page, byte for byte.

    Args:
        paths: Of the certificates.
        title: Of the page.
        key: Public key that must have signed every one, 32 bytes.

    Raises:
        RequestError: A file is not there, or a certificate was given twice.
        IntegrityError: One was altered; the message names it.
    """
    from jinja2 import Environment, StrictUndefined

    certificates = read_certificates(paths, key)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rows, sections = _content(certificates)
    template = environment.from_string((_TEMPLATES / "report.html.j2").read_text("utf-8"))
    return template.render(
        title=title,
        style=(_TEMPLATES / "report.css").read_text("utf-8"),
        certificates=certificates,
        passed=sum(bool(each.document["verdict"]["pass"]) for each in certificates),
        signed=key is not None,
        overview=Table("All artifacts", tables.OVERVIEW, rows),
        sections=[section for section in sections if section.groups],
    )


def _content(certificates: Sequence[Certificate]) -> tuple[list[list[str]], list[Section]]:
    """Return the rows of the overview, and the sections below it."""
    rows: list[list[str]] = []
    parts: dict[str, list[Group]] = {name: [] for name in _TITLES}
    entries = [entry for certificate in certificates for entry in certificate.entries]
    parts["tradeoff"] = _trade_offs(entries)
    for place, certificate in enumerate(certificates):
        title = certificate.title if len(certificates) > 1 else ""
        try:
            rows += tables.overview(certificate.entries)
            found = _groups(f"c{place}", certificate)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # What a verifier does not compute again, somebody may have shortened.
            got = " ".join(repr(error).split())
            raise IntegrityError(
                f"{certificate.path}: expected what a report shows, got {got}; measure again"
            ) from error
        for name, (drawn, tabled, notes) in found.items():
            drawn, tabled = _there(drawn), _there(tabled)
            if drawn or tabled:
                parts[name].append(Group(title, drawn, tabled, notes))
    return rows, [Section(name, _TITLES[name], groups) for name, groups in parts.items()]


_TITLES = {
    "tradeoff": "Trade-off",
    "latency": "Latency",
    "accuracy": "Accuracy",
    "placement": "Placement",
    "stability": "Stability",
    "method": "How it was measured",
}
_Parts = tuple[list[Any], list[Any], list[str]]


def _groups(name: str, certificate: Certificate) -> dict[str, _Parts]:
    """Return charts, tables and notes of one certificate by section."""
    entries = certificate.entries
    measured = [entry.latency["scenarios"] for entry in entries if entry.latency is not None]
    scenarios = sorted({scenario for found in measured for scenario in found})
    timed: list[Chart | None] = [charts.distribution(f"{name}-distribution", entries)]
    for scenario in scenarios:
        own = f"{name}-{scenario}"
        timed.append(series.over_time(own, scenario, entries))
        timed += series.machine_over_time(own, scenario, entries)
    scored = [
        charts.accuracies(f"{name}-ap", entries),
        charts.keypoints(f"{name}-keypoints", entries),
    ]
    data = certificate.document["data"]
    about = [f"Measured on {data['images']} images: {data['description']}."]
    return {
        "latency": (
            timed,
            [tables.stages(scenario, entries) for scenario in scenarios],
            _latency_notes(certificate),
        ),
        "accuracy": (scored, [tables.accuracy_table(entries), tables.worst_table(entries)], about),
        "placement": ([], [tables.placement(entries), tables.not_in_int8(entries)], []),
        "stability": ([], [tables.stability(entries)], []),
        "method": ([], [tables.method(certificate)], []),
    }


def _latency_notes(certificate: Certificate) -> list[str]:
    """Return why times cannot be trusted, and which sensors there were none of."""
    notes = []
    sensors = False
    for entry in certificate.entries:
        for name, found in (entry.latency or {"scenarios": {}})["scenarios"].items():
            notes += [f"Unstable, {name} of {entry.label}: {line}" for line in found["unstable"]]
            kept = (found["telemetry"] or {"series": {}})["series"]
            sensors |= bool(kept.get("temperatures_c") or kept.get("clocks_mhz"))
    if not sensors:
        notes.append("No temperatures and clocks are drawn: no sensor was read.")
    return notes


def _trade_offs(entries: Sequence[Entry]) -> list[Group]:
    """Return a plot for each data set that two or more artifacts were measured on."""
    by_data: dict[str, list[Entry]] = {}
    for entry in entries:
        by_data.setdefault(entry.document["data"]["sha256"], []).append(entry)
    groups = []
    for place, same in enumerate(by_data.values()):
        chart = charts.trade_off(f"tradeoff-{place}", same)
        if chart is not None:
            data = same[0].document["data"]["description"]
            title = f"On {data}" if len(by_data) > 1 else ""
            groups.append(Group(title, [chart], [], _machines(same)))
    return groups


def _machines(entries: Sequence[Entry]) -> list[str]:
    """Warn where times are those of several machines."""
    known = [
        "; ".join(row[1] for row in tables.machine_rows(entry.document["machine"]))
        for entry in entries
    ]
    if len(set(known)) == 1:
        return []
    return ["The times are of several machines: " + ", and ".join(dict.fromkeys(known)) + "."]


def _there(parts: Iterable[Any]) -> list[Any]:
    return [part for part in parts if part is not None]

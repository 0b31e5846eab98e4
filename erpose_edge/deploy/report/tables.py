"""The tables of a report that have no chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from erpose_edge.deploy.report.table import NOTHING, Table, ap, interval, number
from erpose_edge.validate.placement import counted, int8_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from erpose_edge.deploy.report.entries import Certificate, Entry

_WORST_KEPT = 8
_MACHINE = (
    ("board", "board", "model"),
    ("processor", "cpu", "model"),
    ("processor's threads", "cpu", "threads"),
    ("GPU", "gpu", "name"),
    ("architecture", "architecture"),
    ("system", "software", "system"),
)


OVERVIEW = (
    "artifact",
    "target",
    "precision",
    "input (height×width)",
    "engine",
    "AP",
    "left of fp32's AP (%)",
    "engine p50 (ms)",
    "end to end p50 (ms)",
    "p90 (ms)",
    "p99 (ms)",
    "frames/s",
    "size (MB)",
    "int8 convolutions in int8",
)


def overview(entries: Sequence[Entry]) -> list[list[str]]:
    """Return what each artifact came to, a row of `OVERVIEW` each."""
    rows = []
    for entry in entries:
        facts, accuracy = entry.artifact, entry.accuracy
        turns = None if entry.latency is None else entry.latency["turns"]
        total = {} if turns is None else turns["end_to_end_ms"]
        infer = {} if turns is None else turns["infer_ms"]
        share = int8_share(entry.layers)
        serves = " (serves)" if entry.name == entry.document["serving"] else ""
        rows.append(
            [
                f"{entry.label}{serves}",
                entry.document["target"],
                facts["precision"],
                "×".join(str(side) for side in facts["input_size"]),
                f"{facts['engine']}, {facts['threads'] or 'its own'} threads",
                NOTHING if accuracy is None else ap(accuracy["ap"]),
                _kept(accuracy),
                number(infer.get("p50")),
                *(number(total.get(name)) for name in ("p50", "p90", "p99")),
                number(None if turns is None else turns["fps"], 1),
                number(facts["size_mb"]),
                NOTHING if share is None else f"{share:.1%}",
            ]
        )
    return rows


def _kept(accuracy: Mapping[str, Any] | None) -> str:
    against = None if accuracy is None else accuracy["against"]
    kept = None if against is None else against["retention"]["ap"]
    if kept is None:
        return NOTHING
    return interval(number(100 * kept["value"], 1), (kept["low"], kept["high"]), 1, 100)


def accuracy_table(entries: Sequence[Entry]) -> Table | None:
    """Return AP and its kin by artifact."""
    names = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_medium": "AP medium"}
    names.update(ap_large="AP large", ar="AR")
    rows = []
    for entry in entries:
        found = entry.accuracy
        if found is not None:
            values = [interval(ap(found[name]), found["intervals"].get(name), 4) for name in names]
            rows.append([entry.label, *values, str(found["images"]), str(found["people"])])
    headers = ["artifact", *names.values(), "images", "people"]
    return Table("Accuracy, with intervals", headers, rows) if rows else None


def worst_table(entries: Sequence[Entry]) -> Table | None:
    """Return the images on which most is lost."""
    rows = [
        [
            entry.label,
            image["file_name"],
            str(image["people"]),
            ap(image["ap"]),
            ap(image["reference_ap"]),
        ]
        for entry in entries
        if entry.accuracy is not None
        for image in entry.accuracy["worst_images"][:_WORST_KEPT]
    ]
    headers = ["artifact", "image", "people", "AP of this image", "fp32's"]
    return Table("Images on which most is lost", headers, rows) if rows else None


def stages(scenario: str, entries: Sequence[Entry]) -> Table:
    """Return the times of every stage in a scenario."""
    rows = []
    names = ("p50", "p90", "p99", "mean", "max")
    for entry in entries:
        found = None if entry.latency is None else entry.latency["scenarios"].get(scenario)
        if found is not None:
            for stage, times in found["statistics"]["stages"].items():
                values = [number(times[name], 4) for name in names]
                rows.append([f"{entry.label}: {stage.replace('_', ' ')}", *values])
    return Table(f"Stages ({scenario}, ms)", ["stage", *names], rows)


def placement(entries: Sequence[Entry]) -> Table | None:
    """Return how many layers ran in which precision and where."""
    rows = []
    for entry in entries:
        for words, count in counted(entry.layers).items():
            kinds: dict[str, int] = {}
            for layer in entry.layers:
                if f"{layer['precision']} on {layer['unit']}" == words:
                    kinds[layer["kind"]] = kinds.get(layer["kind"], 0) + 1
            order = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
            listed = ", ".join(f"{number} {kind}" for kind, number in order)
            rows.append([entry.label, words, str(count), listed])
    headers = ["artifact", "precision and unit", "layers", "kinds"]
    return Table("What ran where", headers, rows) if rows else None


def not_in_int8(entries: Sequence[Entry]) -> Table | None:
    """Return the convolutions that have their weights in int8 and did not run in it."""
    rows = [
        [entry.label, layer["layer"], layer["precision"], layer["unit"]]
        for entry in entries
        for layer in entry.layers
        if layer["asked"] == "int8" and layer["precision"] != "int8"
    ]
    headers = ["artifact", "layer", "ran in", "unit"]
    return Table("Convolutions that should have run in int8", headers, rows) if rows else None


def stability(entries: Sequence[Entry]) -> Table | None:
    """Return how steady poses are on a clip."""
    rows = []
    for entry in entries:
        found = entry.stability
        if found is not None:
            rows.append(
                [
                    entry.label,
                    f"{found['clip']['description']}, {found['clip']['frames']} frames",
                    number(found["jitter"]["value"], 3),
                    number(found["flicker"]["value"], 3),
                    number(found["order"]["value"], 3),
                    number(found["found"], 3),
                ]
            )
    headers = ["artifact", "clip", "jitter (% of a person's diagonal)"]
    headers += ["flicker (changes a person and second)", "change of order", "part found"]
    return Table("Stability on video", headers, rows) if rows else None


def method(certificate: Certificate) -> Table:
    """Return how a certificate was measured."""
    document = certificate.document
    machine, data = document["machine"], document["data"]
    rows = [["file", certificate.path.name], ["target", document["target"]]]
    rows += machine_rows(machine)
    rows += [
        ["power mode", _field(document["settings"], "during", "power_mode")],
        ["changed while measuring", "; ".join(document["settings"]["changes"]) or "nothing"],
        ["data", f"{data['description']}, {data['images']} images"],
        ["data, sha256", data["sha256"]],
    ]
    for entry in certificate.entries:
        rows.append([f"{entry.name}: weights, sha256", entry.artifact["weights_sha256"]])
        scenarios = {} if entry.latency is None else entry.latency["scenarios"]
        rows += [[f"{entry.name}: {name}", _request(found)] for name, found in scenarios.items()]
    start_ms = document["start_to_first_pose_ms"]
    limits = [f"{name} {value:g}" for name, value in document["budget"].items() if value]
    rows += [
        ["from start to the first pose", f"{number(start_ms, 0)} ms" if start_ms else NOTHING],
        ["budget", ", ".join(limits).replace("_", " ") or "none"],
        ["erpose-edge", document["version"]],
        ["code, sha256", document["code_sha256"]],
        ["bundle, sha256", document["bundle"]["sha256"]],
        ["seal", document["sha256"]],
    ]
    return Table(f"How {certificate.title} was measured", ["what", "value"], rows)


def machine_rows(machine: Mapping[str, Any]) -> list[list[str]]:
    """Return what a machine is, as far as it is known."""
    rows = [[what, _field(machine, *path)] for what, *path in _MACHINE]
    return [row for row in rows if row[1] != NOTHING]


def _request(found: Mapping[str, Any]) -> str:
    request, load = found["request"], found["background"]
    words = f"{request['seconds']:g} s, {found['statistics']['samples']} frames of "
    words += f"{found['frames']['description']}, seed {request['seed']}, "
    words += f"warm-up {request['warm_up_ms']:g} ms"
    others = load["others_s"]
    return words if others is None else f"{words}; other processes took {others:.1f} s"


def _field(part: Any, *path: str) -> str:  # noqa: ANN401 - of a document
    for name in path:
        part = part.get(name) if isinstance(part, dict) else None
    return NOTHING if part in (None, "") else str(part)

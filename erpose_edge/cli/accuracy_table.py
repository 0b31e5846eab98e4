"""Accuracy for people: the table that ``validate`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from erpose_edge.cli.output import console

if TYPE_CHECKING:
    from rich.table import Table

METRICS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar": "AR",
}
CROWD_METRICS = {  # of label sets whose images have a crowd index
    "ap_crowd_easy": "AP crowd easy",
    "ap_crowd_medium": "AP crowd medium",
    "ap_crowd_hard": "AP crowd hard",
}


def print_accuracy(document: dict[str, Any]) -> None:
    """Print a document of ``schemas/validate.json``."""
    from rich.table import Table

    console.print(f"{document['source']} on {document['data']}", markup=False, soft_wrap=True)
    against = document["against"]
    extra = [] if against is None else ["reference", "retention"]
    table = Table("keypoint AP", "", "95 % interval", *extra)
    for key, title in {**METRICS, **CROWD_METRICS}.items():
        if document[key] is not None:
            ends = document["intervals"].get(key)
            row = [title, _shown(document[key]), "" if ends is None else _interval(*ends)]
            table.add_row(*row, *_retained(against, key))
    console.print(table)
    console.print(_keypoints(document))
    if against is not None:
        _print_retention(against)
    for image in document["worst_images"]:
        _print_image(image)
    console.print(
        f"{document['images']} images, {document['people']} people; "
        f"{document['rejected']} entries not used",
        markup=False,
        soft_wrap=True,
    )


def _keypoints(document: dict[str, Any]) -> Table:
    from rich.table import Table

    against = document["against"]
    table = Table("keypoint", "AP", *([] if against is None else ["reference"]), "OKS of found")
    for name, ap in document["per_keypoint_ap"].items():
        theirs = [] if against is None else [_shown(against["per_keypoint_ap"][name])]
        oks = _shown(document["per_keypoint_oks"][name])
        table.add_row(name.replace("_", " "), _shown(ap), *theirs, oks)
    return table


def _retained(against: dict[str, Any] | None, key: str) -> list[str]:
    if against is None or key not in against:
        return []
    part = against["retention"][key]
    return [_shown(against[key]), "none to compare with" if part is None else _percent(part)]


def _print_retention(against: dict[str, Any]) -> None:
    kept, difference = against["retention"]["ap"], against["difference"]["ap"]
    line = "retention: none, the reference finds nobody"
    if kept is not None:
        line = (
            f"retention {_percent(kept)} of {against['name']}, AP {difference['value']:+.3f} "
            f"{_interval(difference['low'], difference['high'], '+')}"
        )
    console.print(line, markup=False, soft_wrap=True)


def _print_image(image: dict[str, Any]) -> None:
    before = "" if image["reference_ap"] is None else f"{image['reference_ap']:.3f} -> "
    picture = "" if image["picture"] is None else f", {image['picture']}"
    line = f"image {image['image_id']} ({image['file_name']}): AP {before}{image['ap']:.3f}"
    console.print(f"{line}, {image['people']} people{picture}", markup=False, soft_wrap=True)


def _percent(part: dict[str, float]) -> str:
    value, low, high = (100 * part[name] for name in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def _interval(low: float, high: float, sign: str = "") -> str:
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def _shown(value: float) -> str:
    return "nobody" if value < 0 else f"{value:.3f}"

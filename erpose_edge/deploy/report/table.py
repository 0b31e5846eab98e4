"""Numbers as a report's tables show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row says what the row is of.

    Attributes:
        caption: What it is of.
        headers: Of the columns.
        rows: Cells, as many as there are headers.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


def number(value: Any, digits: int = 2) -> str:  # noqa: ANN401 - of a document
    """Return a number with so many digits after the point; a dash for null."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def ap(value: Any) -> str:  # noqa: ANN401
    """Return an AP; a dash for none, and for -1, which says that there was nobody to find."""
    return NOTHING if value is None or value < 0 else f"{value:.4f}"


def interval(value: str, ends: Sequence[float] | None, digits: int, times: float = 1) -> str:
    """Return a value with the ends of its interval, where there is one."""
    if ends is None:
        return value
    low, high = ends
    return f"{value} [{times * low:.{digits}f}, {times * high:.{digits}f}]"

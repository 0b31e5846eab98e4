"""Replace the part of a document between two marks: what scripts write, nobody edits by hand.

<!-- NAME:begin -->
...
<!-- NAME:end -->
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def replace_block(document: Path, name: str, lines: Sequence[str]) -> None:
    """Write ``lines`` between the marks ``name`` of a document, in one go.

    Raises:
        SystemExit: The document has not exactly one such pair of marks.
    """
    text = document.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        sys.exit(f"error: {document}: expected one pair of marks {begin.strip()} and {end}")
    before, after = text.split(begin)[0], text.split(end)[1]
    part = document.with_name(document.name + ".part")
    part.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")
    part.replace(document)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return a Markdown table; the first ``left`` columns are text, the others numbers."""
    rule = ["---" if column < left else "---:" for column in range(len(headings))]
    return [f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows)]

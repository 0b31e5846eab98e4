"""Which Jetson Linux (L4T) a board runs: the one reader of ``/etc/nv_tegra_release``.

The file's first line has been the same since L4T 28: ``# R36 (release), REVISION: 4.3, GCID: ...``.
What follows it differs, and ``BOARD`` in it does not name the board.
"""

from __future__ import annotations

import re
from pathlib import Path

RELEASE_FILE = "etc/nv_tegra_release"
_RELEASE = re.compile(r"#\s*R(\d{1,4})\b[^\n]*?REVISION:\s*(\d{1,4}(?:\.\d{1,4})*)")
_LONGEST = 80  # characters of a form that is not known


def l4t_version(root: Path = Path("/")) -> str | None:
    """Return L4T in full, ``36.4.3`` for example.

    Returns:
        None off a Jetson; the text itself if it is of another form.
    """
    try:
        text = (root / RELEASE_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = _RELEASE.search(text)
    return ".".join(found.groups()) if found else " ".join(text.split())[:_LONGEST]


def l4t_release(root: Path = Path("/")) -> str:
    """Return major.minor of the board's L4T, ``36.4`` for example; ``none`` off a Jetson.

    An unknown form is returned as it is: it is still another system than the next one.
    """
    version = l4t_version(root)
    if version is None:
        return "none"
    numbers = version.split(".")
    known = len(numbers) > 1 and all(part.isdigit() for part in numbers)
    return ".".join(numbers[:2]) if known else version

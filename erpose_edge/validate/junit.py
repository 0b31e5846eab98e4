"""Checks as JUnit XML, which every continuous integration shows.

Ref: https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from erpose_edge.errors import RequestError
from erpose_edge.runtime.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from erpose_edge.validate.certificate.verify import Check

# What XML 1.0 does not take, escaped or not.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(suite: str, checks: Sequence[Check], notes: Sequence[str] = ()) -> bytes:
    """Return checks as one test suite.

    Args:
        suite: Name of the suite.
        checks: One test case each; those with an error failed.
        notes: Lines of what was not judged, as the suite's output.
    """
    failed = [check for check in checks if check.error is not None]
    counts = {"tests": str(len(checks)), "failures": str(len(failed)), "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": _clean(suite), **counts})
    found = ElementTree.SubElement(root, "testsuite", {"name": _clean(suite), **counts})
    for check in checks:
        case = {"classname": _clean(suite), "name": _clean(check.name)}
        entry = ElementTree.SubElement(found, "testcase", case)
        if check.error is not None:
            message = _clean(check.error)
            failure = ElementTree.SubElement(entry, "failure", {"message": message})
            failure.text = message
    if notes:
        output = ElementTree.SubElement(found, "system-out")
        output.text = _clean("\n".join(notes))
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root) + b"\n"


def write_junit(path: Path, suite: str, checks: Sequence[Check], notes: Sequence[str] = ()) -> None:
    """Write `junit_xml` to a file; its folder is made if missing.

    Raises:
        RequestError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, junit_xml(suite, checks, notes))
    except OSError as error:
        raise RequestError(
            f"{path}: expected to write the JUnit report, got {error.strerror}; choose another "
            "place"
        ) from None


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)

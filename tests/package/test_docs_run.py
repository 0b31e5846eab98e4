"""Commands in the documents: those that need nothing are run, the others have to parse.

A fenced ``bash`` block is run, in a folder of its own. One that cannot be run here says why in the
line above it: ``<!-- needs: your data -->`` or ``<!-- slow -->``.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from erpose_edge.cli.app import COMMANDS, load_command, main

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"(?:^<!-- ([^\n>]+?) -->\n\n?)?^```bash\n(.*?)^```", re.M | re.S)
_COMMAND = re.compile(r"^(?:.venv/bin/)?(?:erpose-edge|.* -m erpose_edge) (.+)$")


class Block(NamedTuple):
    """One fenced block: where it is, its mark, and its lines."""

    place: str
    mark: str
    lines: list[str]

    @property
    def commands(self) -> list[list[str]]:
        """Arguments of every ``erpose-edge`` in it."""
        found = (_COMMAND.match(line) for line in self.lines)
        return [shlex.split(match[1], comments=True) for match in found if match]


def blocks() -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start(2))
            place = f"{document.relative_to(ROOT).as_posix()}:{line}"
            lines = match[2].replace("\\\n", " ").splitlines()
            found.append(Block(place, match[1] or "", lines))
    return found


BLOCKS = blocks()
RUN = [block for block in BLOCKS if not block.mark]
COMMAND_LINES = [
    pytest.param(arguments, id=f"{block.place}-{' '.join(arguments[:2])}")
    for block in BLOCKS
    for arguments in block.commands
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_block_that_is_not_run_says_why(block):
    assert block.mark in ("", "slow") or block.mark.startswith("needs: "), block.mark


def test_every_command_is_shown():
    shown = {arguments[0] for block in BLOCKS for arguments in block.commands}
    assert sorted(COMMANDS.keys() - shown) == []


@pytest.mark.parametrize("arguments", COMMAND_LINES)
def test_every_command_line_parses(arguments):
    command = load_command(arguments[0])
    context = command.make_context(arguments[0], arguments[1:])
    if hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if rest:
            name, subcommand, rest = command.resolve_command(context, rest)
            subcommand.make_context(name, rest, parent=context)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as for a user: engines' own deprecations are not ours
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.place)
def test_a_block_that_needs_nothing_runs(block, tmp_path, monkeypatch, capfd):
    for package in ("torch", "onnxsim", "openvino"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    assert len(block.commands) == len([line for line in block.lines if line.strip()])
    for arguments in block.commands:
        assert main(arguments) == 0, (arguments, capfd.readouterr().err)

"""Rules about the project itself: sizes, versions, documents, speed of the help."""

from __future__ import annotations

import functools
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from erpose_edge import __version__
from erpose_edge.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
MAX_HELP_S = 0.5
GROUPS = {"bundle", "data", "targets", "certificate"}  # commands that have subcommands
NO_SUBJECT = {"utils", "common", "core", "base"}

MODULES = sorted((ROOT / "erpose_edge").rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")])


def test_no_module_has_two_subjects():
    lengths = {m.relative_to(ROOT): len(m.read_text().splitlines()) for m in MODULES}
    assert {m: n for m, n in lengths.items() if n > MAX_LINES} == {}


def test_every_module_and_folder_is_named_for_its_subject():
    assert not [m for m in MODULES if NO_SUBJECT & {m.stem, m.parent.name}]


def test_every_package_has_a_docstring():
    for path in MODULES:
        if path.name == "__init__.py":
            assert path.read_text().startswith('"""'), path


def test_the_changelog_begins_with_this_version():
    first = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == __version__


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"erpose-edge {name}" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    local = [t for t in targets if not re.match(r"[a-z]+:", t)]
    assert [t for t in local if not (document.parent / t).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_documents_have_the_options_they_are_shown_with(document):
    shown = re.findall(r"^\s*(?:\$ )?(?:\.venv/bin/)?erpose-edge (.+)$", fenced(document), re.M)
    for line in shown:
        words = line.split("#")[0].split()
        command, options = words[0], [w.split("=")[0] for w in words if w.startswith("--")]
        if command.startswith("-"):
            continue
        assert command in COMMANDS, line
        # A group's options are those of its subcommand.
        group = command in GROUPS and len(words) > 1 and not words[1].startswith("-")
        known = help_of(*words[: 1 + group])
        assert [option for option in options if option not in known] == [], line


def test_every_documented_install_uses_the_constraints():
    for document in DOCUMENTS:
        for line in re.findall(r"^pip install .*", fenced(document), re.M):
            assert "constraints.txt" in line, f"{document.name}: {line}"


@pytest.mark.alone
def test_help_is_instant():
    command = [sys.executable, "-m", "erpose_edge", "--help"]
    took = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        took.append(time.perf_counter() - start)
    assert statistics.median(took) < MAX_HELP_S


def fenced(document: Path) -> str:
    """Return the code blocks of a document, continued lines joined."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", document.read_text(), re.M | re.S)
    return "\n".join(blocks).replace("\\\n", " ")


@functools.cache
def help_of(*command: str) -> str:
    arguments = [sys.executable, "-m", "erpose_edge", *command, "--help"]
    done = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout

"""The program that works on the board, without ssh."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ssh_server import make_bundle

from erpose_edge.deploy.remote import board

TOKEN = "token"


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "root"
    place.mkdir()
    (place / ".lock").write_text(json.dumps({"token": TOKEN}))
    board.prepare(str(place), TOKEN, "0" * 12)
    return place


def release(root, number):
    """Put a whole release there and return its name."""
    bundle = make_bundle(root.parent / f"b{number}", number)
    bundle.folder.rename(root / "releases" / bundle.name)
    return bundle.name


def serve(root, *names):
    for name in names:
        board.switch(str(root), TOKEN, name)


def test_it_is_read_by_the_python_of_old_boards():
    source = Path(board.__file__).read_text()
    ast.parse(source, feature_version=(3, 6))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names


def test_rolling_back_goes_through_the_releases_that_served(root):
    first, second, third = (release(root, number) for number in range(3))
    serve(root, first, second, third)
    assert board.rollback(str(root), TOKEN)["current"] == second
    assert board.rollback(str(root), TOKEN)["current"] == first
    with pytest.raises(board.RefusalError) as caught:
        board.rollback(str(root), TOKEN)
    assert str(caught.value) == "no earlier release is here and whole"
    assert (root / "current").resolve().name == first


def test_rolling_back_passes_over_a_damaged_release(root):
    first, second, third = (release(root, number) for number in range(3))
    serve(root, first, second, third)
    (root / "releases" / second / "payload.bin").write_bytes(b"x")
    answer = board.rollback(str(root), TOKEN)
    assert (answer["current"], answer["passed"]) == (first, [second])


def test_a_damaged_release_is_not_switched_to(root):
    name = release(root, 0)
    (root / "releases" / name / "plan.json").unlink()
    with pytest.raises(board.RefusalError, match=f"release {name} is damaged: FileNotFoundError"):
        board.switch(str(root), TOKEN, name)
    assert not (root / "current").exists()


def test_a_switch_that_was_killed_before_its_line_is_in_the_history_of_the_next(root):
    first, second, third = (release(root, number) for number in range(3))
    serve(root, first)
    board._link(str(root), second)  # and killed here
    serve(root, third)
    assert board.rollback(str(root), TOKEN)["current"] == second


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_pruning_keeps_what_serves_and_what_served_before(root, keep):
    names = [release(root, number) for number in range(5)]
    serve(root, names[1], names[0])
    board.prune(str(root), TOKEN, str(keep))
    left = {path.name for path in (root / "releases").iterdir()}
    assert {names[0], names[1]} <= left
    assert len(left) == max(keep, 2)


def test_a_damaged_release_is_not_touched_by_the_next_of_its_name(root):
    name = release(root, 0)
    serve(root, name)
    (root / "releases" / name / "payload.bin").write_bytes(b"x")
    found = board.prepare(str(root), TOKEN, name)
    assert (found["name"], found["whole"]) == (f"{name}-2", False)
    assert (root / "releases" / name / "payload.bin").read_bytes() == b"x"


def test_what_a_killed_push_left_is_removed(root):
    (root / "releases" / ".abc.part" / "deep").mkdir(parents=True)
    board.prepare(str(root), TOKEN, "0" * 12)
    assert list((root / "releases").iterdir()) == []


@pytest.mark.parametrize(
    "operation",
    [
        lambda root: board.switch(root, "other", "0" * 12),
        lambda root: board.prune(root, "other", "1"),
        lambda root: board.rollback(root, "other"),
        lambda root: board.prepare(root, "other", "0" * 12),
        lambda root: board.unpack(root, "other", "0" * 64, "0" * 12),
        lambda root: board.run(root, "other", "0" * 12, "build"),
    ],
)
def test_nothing_changes_for_a_push_that_lost_its_lock(root, operation):
    with pytest.raises(board.RefusalError, match="another push has taken over"):
        operation(str(root))


@pytest.mark.parametrize("name", ["..", "../../etc", "", "0" * 11, "current"])
def test_only_release_ids_are_releases(root, name):
    with pytest.raises(board.RefusalError, match="no release id"):
        board.switch(str(root), TOKEN, name)


def locked(root, token):
    words = [sys.executable, "-S", board.__file__, "lock", str(root), token, f"push {token}"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())


def ended(process, said=""):
    process.stdin.write(said)
    process.stdin.close()
    process.stdout.close()
    process.wait(5)


def test_the_lock_is_held_by_one_and_taken_over_from_a_dead_one(tmp_path):
    root = tmp_path / "new"
    first, answer = locked(root, "a")
    assert answer == {"locked": True, "left": None}
    held = board._open(str(root), ".lock")
    assert not board._flock(held, board.fcntl.LOCK_EX, 0.1)
    assert board._read_lock(held)["holder"] == "push a"
    board.os.close(held)
    ended(first)  # its connection is gone
    second, answer = locked(root, "b")
    assert answer == {"locked": True, "left": "push a"}
    ended(second, "done\n")
    third, answer = locked(root, "c")
    assert answer == {"locked": True, "left": None}
    ended(third, "done\n")

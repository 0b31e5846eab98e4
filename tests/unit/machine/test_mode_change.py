"""A power mode is changed with consent only and comes back, whatever ends the run.

nvpmodel is a script that does to the status file what NVIDIA's does; everything else is real.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from erpose_edge.errors import TargetError
from erpose_edge.machine.mode_change import changed_power_mode
from erpose_edge.machine.power_mode import read_current_id

CONFIG = """\
< POWER_MODEL ID=0 NAME=15W >
TPC_POWER_GATING TPC_PG_MASK 240
< POWER_MODEL ID=1 NAME=25W >
TPC_POWER_GATING TPC_PG_MASK 240
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
TPC_POWER_GATING TPC_PG_MASK 240
< POWER_MODEL ID=3 NAME=7W >
TPC_POWER_GATING TPC_PG_MASK 241
"""
SETS = 'sleep {delay}\nprintf "pmode:%04d fmode:quiet\\n" "$2" > {status}\n'
ASKS = """\
echo "NVPM WARN: Reboot required for changing to this power mode: $2"
echo "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:"
read answer
case "$answer" in YES|yes) : > {status}.rebooted;; esac
echo "NVPM ERROR: optMask is 1, no request for power mode"
"""
RUN = """
import os, sys, time
from pathlib import Path
from erpose_edge.machine.mode_change import changed_power_mode
with changed_power_mode("MAXN_SUPER", Path(sys.argv[1])) as mode:
    {inside}
    print(mode.name, flush=True)
    time.sleep(60)
"""
Board = tuple[Path, Callable[..., None]]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nvpmodel.conf").write_text(CONFIG)
    status = tmp_path / "var/lib/nvpmodel/status"
    status.parent.mkdir(parents=True)
    status.write_text("pmode:0000 fmode:quiet\n")
    tool = tmp_path / "bin/nvpmodel"
    tool.parent.mkdir()
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")

    def install(script: str = SETS, delay: float = 0.0) -> None:
        log = f'echo "$@" >> {tmp_path}/log\n'
        tool.write_text("#!/bin/sh\n" + log + script.format(delay=delay, status=status))
        tool.chmod(0o755)

    install()
    return tmp_path, install


def calls(root: Path) -> list[str]:
    log = root / "log"
    return log.read_text().splitlines() if log.exists() else []


def waited_for(what: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
    return what()


def children(parent: int) -> list[int]:
    stats = [path.read_text().rpartition(")") for path in Path("/proc").glob("[0-9]*/stat")]
    found = [int(head.split()[0]) for head, _, tail in stats if tail.split()[1] == str(parent)]
    assert found
    return found


def start(root: Path, inside: str = "pass") -> subprocess.Popen[str]:
    import erpose_edge

    return subprocess.Popen(
        [sys.executable, "-c", RUN.format(inside=inside), str(root)],
        env={**os.environ, "PYTHONPATH": str(Path(erpose_edge.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_mode_is_set_by_its_number_and_restored(board: Board) -> None:
    root, _ = board
    with changed_power_mode("maxn super", root) as mode:
        assert mode is not None and mode.name == "MAXN_SUPER"
        assert read_current_id(root) == 2
    assert read_current_id(root) == 0
    assert calls(root) == ["-m 2", "-m 0"]


def test_without_a_name_nothing_is_changed(board: Board, tmp_path: Path) -> None:
    root, _ = board
    with changed_power_mode(None, root) as mode:
        assert mode is not None and mode.name == "15W"
    with changed_power_mode(None, tmp_path / "pc") as mode:
        assert mode is None
    assert calls(root) == []


def test_the_present_mode_needs_no_change(board: Board) -> None:
    root, _ = board
    with changed_power_mode("15W", root) as mode:
        assert mode is not None and mode.id == 0
    assert calls(root) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_ends_the_run_the_mode_comes_back(
    board: Board, error: type[BaseException]
) -> None:
    root, _ = board
    with pytest.raises(error), changed_power_mode("25W", root):
        raise error
    assert read_current_id(root) == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_the_mode_as_it_was(board: Board, number: signal.Signals) -> None:
    root, _ = board
    with start(root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "MAXN_SUPER\n"
        assert read_current_id(root) == 2
        if number == signal.SIGTERM:  # as systemd does, to every process of a unit
            for child in children(process.pid):
                os.kill(child, number)
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=10)  # until the process that restores ends, too
    assert read_current_id(root) == 0
    assert number != signal.SIGKILL or said == "power mode 0: restored\n"


@pytest.mark.slow
def test_a_run_killed_while_the_mode_is_being_set_leaves_it_as_it_was(board: Board) -> None:
    root, install = board
    install(delay=0.4)
    with start(root) as process:
        assert waited_for(lambda: calls(root) == ["-m 2"])
        process.kill()
        process.wait(10)
    assert waited_for(lambda: calls(root) == ["-m 2", "-m 0"])
    assert waited_for(lambda: read_current_id(root) == 0)


@pytest.mark.slow
def test_a_child_that_outlives_the_run_does_not_hold_the_mode(board: Board) -> None:
    root, _ = board
    fork = "child = os.fork()\n    if not child: time.sleep(30); os._exit(0)\n    print(child)"
    with start(root, inside=fork) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        process.wait(10)
        try:
            assert waited_for(lambda: read_current_id(root) == 0)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_mode_that_switches_other_parts_of_the_gpu_off_is_refused(board: Board) -> None:
    root, _ = board
    with pytest.raises(TargetError) as caught, changed_power_mode("7W", root):
        pass
    assert str(caught.value) == (
        "power mode 7W: expected a mode that can be set while running, got one that needs a "
        "restart (TPC_PG_MASK is 241, in 15W it is 240); run sudo nvpmodel -m 3, let it restart, "
        "and try again without --set-power-mode"
    )
    assert calls(root) == []


def test_a_restart_is_declined_when_nvpmodel_asks_for_one(board: Board) -> None:
    root, install = board
    install(ASKS)
    with pytest.raises(TargetError) as caught, changed_power_mode("25W", root):
        pass
    assert "got one that needs a restart (nvpmodel asks for one); run sudo" in str(caught.value)
    assert read_current_id(root) == 0 and calls(root) == ["-m 1"]
    assert not list((root / "var/lib/nvpmodel").glob("*.rebooted"))


def test_a_refusal_of_nvpmodel_is_told_with_its_words(board: Board) -> None:
    root, install = board
    install("echo NVPM ERROR: Error opening /sys/x: 13 >&2\nexit 255\n")
    with pytest.raises(TargetError) as caught, changed_power_mode("25W", root):
        pass
    assert str(caught.value) == (
        "power mode 25W: expected nvpmodel to set it, got exit code 255 "
        "(NVPM ERROR: Error opening /sys/x: 13); run as root, with sudo"
    )


def test_a_mode_that_cannot_be_restored_is_told_with_the_way_out(board: Board) -> None:
    root, install = board
    with pytest.raises(TargetError) as caught, changed_power_mode("25W", root):
        install("exit 1\n")
    assert str(caught.value) == (
        "power mode: expected 15W to be restored, got mode 1; sudo nvpmodel -m 0"
    )


def test_an_unknown_present_mode_is_not_left(board: Board) -> None:
    root, _ = board
    (root / "var/lib/nvpmodel/status").unlink()
    with pytest.raises(TargetError) as caught, changed_power_mode("25W", root):
        pass
    assert str(caught.value) == (
        "power mode 25W: expected the present mode in /var/lib/nvpmodel/status, got none, so that "
        "it could not be restored; set it yourself: sudo nvpmodel -m 1"
    )


def test_a_machine_without_modes_cannot_change_them(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught, changed_power_mode("15W", tmp_path):
        pass
    assert str(caught.value) == (
        "power mode 15W: expected a Jetson with /etc/nvpmodel.conf, got a machine without; "
        "leave out --set-power-mode"
    )


def test_nvpmodel_has_to_be_installed(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = board
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TargetError) as caught, changed_power_mode("25W", root):
        pass
    assert str(caught.value) == (
        "power mode: expected nvpmodel in PATH or /usr/sbin, got none; "
        "sudo apt install nvidia-l4t-nvpmodel, or leave out --set-power-mode"
    )

"""Power modes are looked up by name; what a file does not say is not guessed."""

from __future__ import annotations

from pathlib import Path

import machine_trees
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.errors import TargetError
from erpose_edge.machine.power_mode import (
    PowerMode,
    PowerModes,
    mode_settings,
    parse_modes,
    read_power_modes,
)

CONFIG = """\
# nvpmodel configuration
< PARAM TYPE=CLOCK NAME=EMC >
MAX_FREQ /sys/kernel/nvpmodel_emc_cap/emc_iso_cap

< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
TPC_POWER_GATING TPC_PG_MASK 240  # of the GPU
GPU MAX_FREQ 612000000

< POWER_MODEL NAME=MAXN_SUPER ID=2 >
TPC_POWER_GATING TPC_PG_MASK 0
GPU MAX_FREQ -1
# mandatory section
< PM_CONFIG DEFAULT=1 >
"""


def write(root: Path, config: str | None, status: str | None) -> Path:
    for place, text in (("etc/nvpmodel.conf", config), ("var/lib/nvpmodel/status", status)):
        if text is not None:
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text(text)
    return root


@pytest.mark.parametrize("board", machine_trees.JETSONS)
def test_every_board_names_its_modes_and_the_present_one(board: str, tmp_path: Path) -> None:
    expected = machine_trees.BOARDS[board]
    modes = read_power_modes(machine_trees.build(board, tmp_path))
    assert modes is not None
    assert {mode.id: mode.name for mode in modes.modes} == expected.modes
    assert (modes.current and modes.current.name) == expected.current
    assert modes.has_super == ("MAXN_SUPER" in expected.modes.values())


def test_a_machine_without_nvpmodel_has_no_modes(tmp_path: Path) -> None:
    assert read_power_modes(tmp_path) is None


@pytest.mark.parametrize("status", [None, "", "pmode:0009", "fmode:quiet"])
def test_an_unknown_present_mode_stays_unknown(status: str | None, tmp_path: Path) -> None:
    modes = read_power_modes(write(tmp_path, CONFIG, status))
    assert modes is not None and len(modes.modes) == 2 and modes.current is None


def test_attributes_may_stand_in_any_order(tmp_path: Path) -> None:
    modes = read_power_modes(write(tmp_path, CONFIG, "pmode:0002 fmode:quiet"))
    assert modes is not None and modes.current == PowerMode(2, "MAXN_SUPER")


def test_settings_end_where_the_next_section_begins() -> None:
    assert mode_settings(CONFIG, 2) == {"TPC_POWER_GATING TPC_PG_MASK": "0", "GPU MAX_FREQ": "-1"}
    assert mode_settings(CONFIG, 0)["TPC_POWER_GATING TPC_PG_MASK"] == "240"
    assert mode_settings(CONFIG, 1) == {}


@pytest.mark.parametrize("name", ["MAXN_SUPER", "maxn super", "Maxn-Super"])
def test_names_are_found_however_they_are_spelled(name: str) -> None:
    assert PowerModes(parse_modes(CONFIG), None).by_name(name).id == 2


def test_an_exact_name_comes_before_a_similar_one() -> None:
    modes = PowerModes((PowerMode(0, "MAX_N"), PowerMode(1, "MAXN")), None)
    assert modes.by_name("MAXN").id == 1
    with pytest.raises(TargetError, match="got several modes of that name"):
        modes.by_name("max n")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(TargetError) as caught:
        PowerModes(parse_modes(CONFIG), None).by_name("7W; reboot")
    assert str(caught.value) == (
        "power mode: expected one of 15W, MAXN_SUPER, got '7W; reboot'; "
        "see the POWER_MODEL lines of /etc/nvpmodel.conf"
    )


@given(
    st.dictionaries(
        st.integers(0, 99), st.text("ABCDWMXN_0123456789", min_size=1), min_size=1, max_size=6
    )
)
def test_modes_that_are_written_are_read(modes: dict[int, str]) -> None:
    text = "".join(f"< POWER_MODEL ID={n} NAME={name} >\nA B 1\n" for n, name in modes.items())
    assert {mode.id: mode.name for mode in parse_modes(text)} == modes
    assert all(mode_settings(text, number) == {"A B": "1"} for number in modes)


@given(st.text("<> POWER_MODELID=NAME0123456789ab\n#²", max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for mode in parse_modes(text):
        assert mode.name and mode.id >= 0
        mode_settings(text, mode.id)

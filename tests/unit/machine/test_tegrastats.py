"""Lines of tegrastats in every dialect. Their shapes are those that boards printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.machine.tegrastats import Core, parse_line

NANO = (
    "RAM 2015/3964MB (lfb 98x4MB) SWAP 29/1982MB (cached 3MB) IRAM 0/252kB(lfb 252kB) CPU "
    "[6%@102,5%@102,off,3%@102] EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@28C CPU@31.5C "
    "PMIC@100C GPU@30.5C AO@36C thermal@31.25C POM_5V_IN 1388/1400 POM_5V_GPU 122/122"
)
XAVIER = (
    "RAM 721/31927MB (lfb 7291x4MB) SWAP 0/15963MB (cached 0MB) CPU [2%@1190,off] EMC_FREQ 0%@665 "
    "GR3D_FREQ 0%@318 APE 150 MTS fg 0% bg 0% AO@37.5C thermal@36.9C GPU 0/0 CPU 311/311 "
    "SOC 932/932 CV 0/0 VDDRQ 621/621 SYS5V 1482/1482"
)
ORIN = (
    "04-11-2025 10:36:27 RAM 4321/62801MB (lfb 1759x4MB) SWAP 19/31400MB (cached 0MB) CPU "
    "[0%@729,12%@2201] EMC_FREQ 3%@2133 GR3D_FREQ 37%@1020 VIC_FREQ 729 APE 174 CV0@-256C "
    "CPU@44.562C tj@44.343C VDD_GPU_SOC 2340mW/2340mW VDD_CPU_CV 390mW/390mW "
    "VIN_SYS_5V0 4025mW/4025mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW NC 0mW/0mW"
)
ORIN_NANO = (
    "RAM 6712/7620MB (lfb 12x4MB) CPU [38%@1497] EMC_FREQ 61%@2133 GR3D_FREQ 99%@[612] NVDEC off "
    "cpu@57.125C VDD_IN 16321mW/11204mW VDD_CPU_GPU_CV 7104mW/4944mW VDD_SOC 3120mW/3659mW"
)
THOR = (
    "08-08-2026 20:58:23 RAM 3429/125749MB (lfb 120x4MB) CPU [0%,5%,off]@2601 EMC_FREQ @4266 "
    "GR3D_FREQ @[1000,1000,1000] NVENC0_FREQ @1691 cpu@49.75C/51.25C tj@51.218C/51.218C "
    "VDD_GPU 6330mW/6330mW/6330mW VIN_SYS_5V0 5486mW/7424mW/8486mW VIN 28906mW/14453mW/28906mW"
)


@pytest.mark.parametrize(
    ("text", "load", "mhz"),
    [
        ("GR3D_FREQ 37%@1020", 0.37, (1020,)),
        ("GR3D_FREQ @[1000,1000,1000]", None, (1000, 1000, 1000)),
        ("GR3D_FREQ 0%@[1300,1300]", 0.0, (1300, 1300)),
        ("GR3D_FREQ 88% EMC_FREQ 25%@204", 0.88, ()),
        ("GR3D_FREQ @[300, off, 600]", None, (300, 600)),
        ("GR3D_FREQ 101%@1020", None, (1020,)),
        ("EMC_FREQ 3%@2133", None, ()),
    ],
)
def test_every_dialect_of_the_gpu(text: str, load: float | None, mhz: tuple[int, ...]) -> None:
    stats = parse_line(f"RAM 1/2MB {text} APE 25")
    assert (stats.gpu_load, stats.gpu_mhz) == (load, mhz)


def test_jetpack_4_has_rails_without_a_unit() -> None:
    stats = parse_line(NANO)
    assert stats.rails_mw == {"POM_5V_IN": 1388, "POM_5V_GPU": 122}
    assert stats.total_mw == 1388
    assert (stats.ram_mb, stats.swap_mb) == ((2015.0, 3964.0), (29.0, 1982.0))
    assert stats.cores == (Core(0.06, 102), Core(0.05, 102), None, Core(0.03, 102))
    assert (stats.emc_load, stats.emc_mhz) == (0.0, 1600)


def test_without_an_input_rails_are_added() -> None:
    rails = {"GPU": 0, "CPU": 311, "SOC": 932, "CV": 0, "VDDRQ": 621, "SYS5V": 1482}
    assert parse_line(XAVIER).rails_mw == rails
    assert parse_line(XAVIER).total_mw == sum(rails.values())
    assert parse_line(ORIN).total_mw == 2340 + 390 + 4025 + 301


def test_zones_that_are_off_and_rails_that_are_not_connected_are_left_out() -> None:
    stats = parse_line(ORIN)
    assert stats.temperatures_c == {"CPU": 44.562, "tj": 44.343}
    assert "NC" not in stats.rails_mw


def test_the_present_power_is_taken_not_the_mean() -> None:
    assert parse_line(ORIN_NANO).total_mw == 16321


def test_thor_shares_one_clock_among_processors_and_adds_peaks() -> None:
    stats = parse_line(THOR)
    assert stats.cores == (Core(0.0, 2601), Core(0.05, 2601), None)
    assert (stats.emc_load, stats.emc_mhz) == (None, 4266)
    assert stats.temperatures_c == {"cpu": 49.75, "tj": 51.218}
    assert stats.total_mw == 28906


def test_a_number_without_a_unit_is_capped() -> None:
    assert parse_line("GPU 200000/1").rails_mw == {"GPU": 200000}
    assert parse_line("GPU 200001/1").rails_mw == {}
    assert parse_line("VDD_GPU 200001mW/1mW").rails_mw == {"VDD_GPU": 200001}


def test_an_empty_line_says_nothing() -> None:
    stats = parse_line("")
    assert stats.total_mw is None and stats.cores == () and stats.ram_mb is None


_PIECES = st.sampled_from(
    [
        "GR3D_FREQ ",
        "CPU [",
        "]",
        "%@",
        "@[",
        "RAM ",
        "VDD_IN ",
        "mW/",
        "mW",
        "C ",
        "/",
        "cpu@",
        ",off",
    ]
)


@given(st.lists(_PIECES | st.integers(-300, 10**12).map(str) | st.text(max_size=3), max_size=30))
def test_no_line_is_an_error(pieces: list[str]) -> None:
    stats = parse_line("".join(pieces))
    loads = [core.load for core in stats.cores if core is not None]
    loads += [load for load in (stats.gpu_load, stats.emc_load) if load is not None]
    assert all(0 <= load <= 1 for load in loads)


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=3),
    st.dictionaries(st.from_regex(r"\AV[A-Z_0-9]{1,9}\Z"), st.integers(0, 10**6), max_size=4),
)
def test_what_is_written_is_read(mhz: list[int], rails: dict[str, int]) -> None:
    powers = " ".join(f"{name} {mw}mW/{mw}mW" for name, mw in rails.items())
    stats = parse_line(f"GR3D_FREQ 5%@[{','.join(map(str, mhz))}] {powers}")
    assert stats.gpu_mhz == tuple(mhz) and stats.rails_mw == rails

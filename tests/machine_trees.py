"""Small file systems of boards that nobody had at hand, and what a reader must find in each.

``build("orin-nano-super", tmp_path)`` writes one. How each kind of file looks, and who says so,
stands in `machine_files`. Versions are those of each JetPack's release notes; clocks and
temperatures only have to be plausible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import machine_files as f
import machine_jetsons as jetsons
from machine_files import Files

_SSE = "fpu vme sse sse2 ssse3 sse4_1 sse4_2 avx f16c fma avx2"
_NEWEST = "avx_vnni avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8"


@dataclass(frozen=True)
class Board:
    """What a reader of the tree must find; None and empty where there is no such thing.

    ``rails`` are watts by label, without the channels that do not count.
    """

    files: Callable[[], Files]
    part: str | None = None
    variant: str | None = None
    l4t: str | None = None
    jetpack: str | None = None
    tensorrt: str | None = None
    cuda: str | None = None
    modes: dict[int, str] = field(default_factory=dict)
    current: str | None = None
    best: str | None = None
    rails: dict[str, float] = field(default_factory=dict)
    total_w: float | None = None
    gpu_clock: str | None = None
    flags: frozenset[str] = frozenset()


def _pc(model: str, flags: str, governor: str = "powersave") -> Callable[[], Files]:
    """Return the files of a PC; RAPL as https://docs.kernel.org/power/powercap/powercap.html."""
    rapl = "sys/class/powercap/intel-rapl:0"
    cpu = {"vendor_id": "GenuineIntel", "model name": model, "flags": flags}
    return lambda: {
        **f.system("Ubuntu 24.04.3 LTS"),
        **f.cpuinfo(4, cpu),
        **f.cpufreq(governor, (800000, 3200000, 3600000)),
        **f.meminfo(16303412, 12000000, 2097148),
        **f.packages({"python3-numpy": "1:1.26.4+ds-6ubuntu1"}, "amd64"),
        **f.python("3.12", "numpy-1.26.4"),
        **f.zones({"x86_pkg_temp": 47000}),
        **f.camera(0, "Integrated Camera: Integrated C"),
        f"{rapl}/name": "package-0\n",
        f"{rapl}/energy_uj": "125000000\n",
        f"{rapl}/max_energy_range_uj": "262143328850\n",
        "sys/devices/virtual/dmi/id/product_name": "NUC11TNKi5\n",
        "sys/devices/virtual/dmi/id/sys_vendor": "Intel(R) Client Systems\n",
    }


def _raspberry(number: int, soc: str, cpu: dict[str, str], throttled: str) -> Callable[[], Files]:
    """Return the files of a Raspberry Pi.

    Sources: device trees bcm2712-rpi-5-b.dts and bcm2711-rpi-4-b.dts of Linux; ``get_throttled``:
    https://www.raspberrypi.com/documentation/computers/os.html#get_throttled, the same bits in
    sysfs by the firmware's driver.
    """
    model = f"Raspberry Pi {number} Model B Rev 1.{number - 4}"
    names = (f"raspberrypi,{number}-model-b", f"brcm,{soc}")
    tail = f"Revision\t: d04170\nModel\t\t: {model}\n"
    return lambda: {
        **f.device_tree(model, names),
        **f.system("Debian GNU/Linux 12 (bookworm)"),
        **f.cpuinfo(4, cpu, tail),
        **f.cpufreq("ondemand", (1500000, 2400000, 2400000)),
        **f.meminfo(8245072, 7000000, 102396),
        **f.zones({"cpu-thermal": 61500}),
        **f.packages({"python3-numpy": "1:1.24.2-1", "python3-opencv": "4.6.0+dfsg-12"}),
        **f.python("3.11", "numpy-1.24.2", "opencv-4.6.0"),
        **f.camera(0, "rp1-cfe-csi2_ch0"),
        "sys/devices/platform/soc/soc:firmware/get_throttled": throttled,
    }


BOARDS: dict[str, Board] = {
    "nano": Board(
        jetsons.nano,
        part="p3448-0000",
        l4t="32.7.1",
        jetpack="4.6",
        tensorrt="8.2.1",
        cuda="10.2",
        modes=jetsons.NANO_MODES,
        current="5W",
        best="MAXN",
        rails={"POM_5V_IN": 3.0, "POM_5V_GPU": 0.2, "POM_5V_CPU": 0.6},
        total_w=3.0,
        gpu_clock="57000000.gpu",
        flags=frozenset({"asimd"}),
    ),
    "tx2": Board(
        jetsons.tx2,
        part="p3310-1000",
        l4t="32.7.6",
        jetpack="4.6",
        tensorrt="8.2.1",
        cuda="10.2",
        modes=jetsons.TX2_MODES,
        current="MAXN",
        best="MAXN",
        rails={"VDD_IN": 5.7, "VDD_SYS_GPU": 0.76, "VDD_SYS_SOC": 0.95, "VDD_4V0_WIFI": 0.048}
        | {"VDD_SYS_CPU": 1.14, "VDD_SYS_DDR": 0.57},
        total_w=5.7,
        gpu_clock="17000000.gp10b",
        flags=frozenset({"asimd"}),
    ),
    "agx-xavier": Board(
        jetsons.agx_xavier,
        part="p2888-0004",
        l4t="35.4.1",
        jetpack="5.1",
        tensorrt="8.5.2",
        cuda="11.4",
        modes=jetsons.XAVIER_MODES,
        current="MODE_15W",
        best="MAXN",
        rails={"GPU": 0.95, "CPU": 1.14, "SOC": 1.9, "CV": 0.0, "VDDRQ": 0.38, "SYS5V": 1.71},
        total_w=6.08,
        gpu_clock="17000000.gv11b",
        flags=frozenset({"asimd", "asimdhp"}),
    ),
    "xavier-nx": Board(
        jetsons.xavier_nx,
        part="p3668-0001",
        l4t="35.5.0",
        jetpack="5.1",
        tensorrt="8.5.2",
        cuda="11.4",
        modes=jetsons.XAVIER_NX_MODES,
        current="MODE_15W_6CORE",
        best="MODE_20W_6CORE",
        rails={"VDD_IN": 3.9616, "VDD_CPU_GPU_CV": 0.59424, "VDD_SOC": 0.9904},
        total_w=3.9616,
        gpu_clock="17000000.gv11b",
        flags=frozenset({"asimd", "asimdhp"}),
    ),
    "agx-orin-jetpack5": Board(
        jetsons.agx_orin_jetpack5,
        part="p3701-0005",
        variant="original",
        l4t="35.3.1",
        jetpack="5.1",
        tensorrt="8.5.2",
        cuda="11.4",
        modes=jetsons.AGX_ORIN_MODES,
        current="MAXN",
        best="MAXN",
        rails={"VDD_GPU_SOC": 5.7, "VDD_CPU_CV": 0.76, "VIN_SYS_5V0": 3.9232}
        | {"VDDQ_VDD2_1V8AO": 0.4904},
        total_w=10.8736,
        gpu_clock="17000000.ga10b",
        flags=frozenset({"asimd", "asimdhp", "asimddp"}),
    ),
    "orin-nano-super": Board(
        jetsons.orin_nano_super,
        part="p3767-0005",
        variant="super",
        l4t="36.4.3",
        jetpack="6.2",
        tensorrt="10.3.0.30",
        cuda="12.6",
        modes=jetsons.ORIN_NANO_SUPER_MODES,
        current="25W",
        best="MAXN_SUPER",
        rails={"VDD_IN": 5.9808, "VDD_CPU_GPU_CV": 1.4952, "VDD_SOC": 1.246},
        total_w=5.9808,
        gpu_clock="17000000.gpu",
        flags=frozenset({"asimd", "asimdhp", "asimddp"}),
    ),
    "orin-nx": Board(
        jetsons.orin_nx,
        part="p3767-0000",
        variant="original",
        l4t="36.4.7",
        jetpack="6.2",
        tensorrt="10.3.0.30",
        cuda="12.6",
        modes=jetsons.ORIN_NX_MODES,
        current="25W",
        best="MAXN",
        rails={"VDD_IN": 5.0, "VDD_CPU_GPU_CV": 1.5, "VDD_SOC": 1.25},
        total_w=5.0,
        gpu_clock="17000000.gpu",
        flags=frozenset({"asimd", "asimdhp", "asimddp"}),
    ),
    "agx-orin-jetpack7": Board(
        jetsons.orin_jetpack7,
        part="p3701-0005",
        variant="original",
        l4t="39.2.0",
        jetpack="7.2",
        tensorrt="10.16.0.40",
        cuda="13.2",
        modes=jetsons.AGX_ORIN_MODES,
        current="MAXN",
        best="MAXN",
        rails={"VDD_GPU_SOC": 5.7, "VDD_CPU_CV": 0.76, "VIN_SYS_5V0": 3.9232},
        total_w=10.3832,
        gpu_clock="17000000.gpu",
        flags=frozenset({"asimd", "asimdhp", "asimddp"}),
    ),
    "thor": Board(
        jetsons.thor,
        part="p3834-0008",
        l4t="38.2.0",
        jetpack="7.0",
        tensorrt="10.13.3.9",
        cuda="13.0",
        modes=jetsons.THOR_MODES,
        current="120W",
        best="MAXN",
        rails={"VDD_GPU": 1.97, "VDD_CPU_SOC_MSS": 6.501, "VIN_SYS_5V0": 6.37, "VIN": 23.0},
        total_w=23.0,
        gpu_clock="gpu-gpc-0",
        flags=frozenset({"asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"}),
    ),
    "pc-vnni": Board(
        _pc("Intel(R) N100", f"{_SSE} avx_vnni", "performance"),
        flags=frozenset({"avx2", "fma", "avx_vnni"}),
    ),
    "pc-avx2": Board(
        _pc("Intel(R) Core(TM) i7-7700HQ CPU @ 2.80GHz", _SSE), flags=frozenset({"avx2", "fma"})
    ),
    "pc-amx": Board(
        _pc(
            "Intel(R) Xeon(R) Platinum 8480+",
            f"{_SSE} {_NEWEST}",
        ),
        flags=frozenset({"avx2", "avx512_vnni", "amx_int8", "amx_bf16"}),
    ),
    "raspberry-pi-5": Board(
        _raspberry(5, "bcm2712", jetsons.A76, "0\n"), flags=frozenset({"asimd", "asimddp"})
    ),
    "raspberry-pi-4": Board(
        _raspberry(4, "bcm2711", jetsons.A72, "50005\n"), flags=frozenset({"asimd"})
    ),
}
JETSONS = tuple(name for name, board in BOARDS.items() if board.l4t)


def build(name: str, root: Path, without: tuple[str, ...] = ()) -> Path:
    """Write the files of a board.

    Args:
        name: One of ``BOARDS``.
        root: Folder to write into; made if it is not there.
        without: Paths, or beginnings of paths, that are left out.
    """
    for path, content in BOARDS[name].files().items():
        if path.startswith(without):
            continue
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("-> "):
            place.symlink_to(content[3:])
        else:
            place.write_bytes(content.encode() if isinstance(content, str) else content)
    return root

"""Files by which a Linux board says what it is, written as the systems document them.

Each function returns files by their path below the root; `machine_trees` puts them together. A text
that starts with ``-> `` is a symbolic link, as sysfs makes them. Sources stand with each function;
none of these files was copied from a board at hand.
"""

from __future__ import annotations

import json

Files = dict[str, "str | bytes"]

CLASS_DEVFREQ = "sys/class/devfreq"
GOVERNOR = "nvhost_podgov"


def tegra_release(release: int, revision: str, board: str, date: str, more: str = "") -> Files:
    """``/etc/nv_tegra_release``. Its first line is the same from R32 to R39; what follows is not.

    Sources: lines published from boards: R32.7.6 t186ref (TX2), R35.4.1 t186ref, R36.4.7 generic
    (``KERNEL_VARIANT: oot``), R38.2.0 generic (``INSTALL_TYPE=``), R39.2.1 generic.
    """
    text = (
        f"# R{release} (release), REVISION: {revision}, GCID: 38968081, BOARD: {board}, "
        f"EABI: aarch64, DATE: {date}\n"
    )
    ubuntu = {32: "18.04.6", 35: "20.04.6", 36: "22.04.5"}.get(release, "24.04.3")
    return {"etc/nv_tegra_release": text + more, **system(f"Ubuntu {ubuntu} LTS")}


def system(name: str, kind: str = "ext4") -> Files:
    """``/etc/os-release`` and what is mounted at ``/``. Sources: os-release(5), proc_mounts(5)."""
    return {
        "etc/os-release": f'PRETTY_NAME="{name}"\nNAME="{name.split()[0]}"\n',
        "proc/mounts": f"proc /proc proc rw 0 0\n/dev/root / {kind} rw,relatime 0 0\n",
    }


OOT = (
    "# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n"
    "TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia\n"
)


def device_tree(model: str, compatible: tuple[str, ...], **properties: str) -> Files:
    """``/proc/device-tree``: strings end with a zero byte, lists have one after each.

    Source: https://www.devicetree.org/specifications/ 2.3.1 (compatible), 2.3.2 (model).
    """
    base = "sys/firmware/devicetree/base"
    files: Files = {
        "proc/device-tree": "-> ../sys/firmware/devicetree/base",
        f"{base}/model": model.encode() + b"\0",
        f"{base}/compatible": b"".join(name.encode() + b"\0" for name in compatible),
    }
    for name, value in properties.items():
        files[f"{base}/nvidia,{name}"] = value.encode() + b"\0"
    return files


def boot_control(spec: str) -> Files:
    """``/etc/nv_boot_control.conf``: board, fab, SKU, revision, fuse, chip, name of the flash.

    Source: TNSPEC of a TX2 as published, ``3310-B02-1000-E.0-1-0-jetson-tx2-devkit-mmcblk0p1``;
    Jetson Linux Developer Guide, "Bootloader/UpdateAndRedundancy" for its fields.
    """
    return {
        "etc/nv_boot_control.conf": f"TNSPEC {spec}\nTEGRA_CHIPID 0x23\nTEGRA_OTA_BOOT_DEVICE x\n"
    }


def eeprom(bus: int, part: str) -> Files:
    """The module's EEPROM: 29 bytes from byte 20 are its 699-level part number.

    Source: Jetson Linux Developer Guide r34.1, "Jetson EEPROM Layout".
    """
    content = bytes(20) + part.encode().ljust(29, b"\0") + bytes(207)
    return {f"sys/bus/i2c/devices/{bus}-0050/eeprom": content}


def nvpmodel(default: int, modes: dict[int, str], current: int | None) -> Files:
    """``/etc/nvpmodel.conf`` and the state beside it.

    Sources: definitions of the Jetson Nano (llh-ustb/jetson_nano), of the Orin Nano Super
    (ids 0 15W, 1 25W, 2 MAXN_SUPER, 3 7W); state ``pmode:0002`` with ``fmode:`` behind it from
    JetPack 5 on (Jetson Linux Developer Guide, "Power Mode Controls").
    """
    lines = ["# nvpmodel.conf", "< PARAM TYPE=FILE NAME=CPU_ONLINE >"]
    lines += ["CORE_0 /sys/devices/system/cpu/cpu0/online", ""]
    lines += ["#" * 27, "# POWER_MODEL DEFINITIONS #", "#" * 27, ""]
    for number, name in modes.items():
        lines += [f"# {name}", f"< POWER_MODEL ID={number} NAME={name} >"]
        lines += ["CPU_ONLINE CORE_0 1", "GPU MIN_FREQ 0", "GPU MAX_FREQ -1", "EMC MAX_FREQ 0", ""]
    lines += [
        "# mandatory section to configure the default mode",
        f"< PM_CONFIG DEFAULT={default} >",
    ]
    files: Files = {"etc/nvpmodel.conf": "\n".join(lines) + "\n"}
    if current is not None:
        files["var/lib/nvpmodel/status"] = f"pmode:{current:04d} fmode:fan_mode_quiet\n"
    return files


def devfreq(name: str, home: str, clocks: tuple[int, int, int], load: int | None = None) -> Files:
    """A clock under devfreq; the class holds links to the devices.

    Sources: https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-class-devfreq; names
    57000000.gpu, 17000000.gp10b, .gv11b, .ga10b, .gpu (JetPack 6 and 7), gpu-gpc-0 (Thor) and the
    load in per mille beside the device from jtop (behaviour) and published paths.

    Args:
        name: Of the clock.
        home: Folder of its device, below ``sys/devices``.
        clocks: Smallest, current and largest, Hz.
        load: Per mille; None where there is no such file.
    """
    place = f"sys/devices/{home}/devfreq/{name}"
    least, now, most = clocks
    files: Files = {
        f"{CLASS_DEVFREQ}/{name}": f"-> ../../devices/{home}/devfreq/{name}",
        f"{place}/device": "-> ../..",
        f"{place}/min_freq": f"{least}\n",
        f"{place}/cur_freq": f"{now}\n",
        f"{place}/max_freq": f"{most}\n",
        f"{place}/governor": f"{GOVERNOR}\n",
        f"{place}/available_frequencies": f"{least} {now} {most} \n",
    }
    if load is not None:
        files[f"sys/devices/{home}/load"] = f"{load}\n"
    return files


def zones(temperatures: dict[str, int | None]) -> Files:
    """Thermal zones in thousandths of a degree; None is a sensor that cannot be read.

    Sources: https://docs.kernel.org/driver-api/thermal/sysfs-api.html; names of JetPack 4 from the
    device tree of a Jetson Nano (AO-therm, CPU-therm, GPU-therm, PLL-therm, PMIC-Die), of JetPack 6
    (cpu-thermal, gpu-thermal, tj-thermal), of Thor (soc012-thermal, soc345-thermal; the sensor of
    its GPU cannot be read while the GPU sleeps: an empty file stands for that here).
    """
    files: Files = {}
    for number, (name, value) in enumerate(temperatures.items()):
        place = f"devices/virtual/thermal/thermal_zone{number}"
        files[f"sys/class/thermal/thermal_zone{number}"] = f"-> ../../{place}"
        files[f"sys/{place}/type"] = f"{name}\n"
        files[f"sys/{place}/temp"] = "" if value is None else f"{value}\n"
    return files


def ina3221_iio(address: str, rails: dict[str, tuple[int, int]], number: int = 0) -> Files:
    """A power monitor as JetPack 4 shows it: mV, mA and mW by channel.

    Source: what jtop reads (behaviour); NVIDIA's driver ina3221 of kernel 4.9 (IIO attributes).
    """
    place = f"sys/bus/i2c/devices/{address}"
    files: Files = {f"{place}/name": "ina3221x\n"}
    for channel, (rail, (volt, milliampere)) in enumerate(rails.items()):
        device = f"{place}/iio:device{number}"
        files[f"{device}/rail_name_{channel}"] = f"{rail}\n"
        files[f"{device}/in_voltage{channel}_input"] = f"{volt}\n"
        files[f"{device}/in_current{channel}_input"] = f"{milliampere}\n"
        files[f"{device}/in_power{channel}_input"] = f"{volt * milliampere // 1000}\n"
        files[f"{device}/warn_current_limit_{channel}"] = "32760 ma\n"
        files[f"{device}/crit_current_limit_{channel}"] = "32760 ma\n"
    return files


def ina3221_hwmon(address: str, rails: dict[str, tuple[int, int]], number: int = 0) -> Files:
    """A power monitor as JetPack 5 and later show it: mV and mA, channel 7 is a sum of shunts.

    Source: https://docs.kernel.org/hwmon/ina3221.html.
    """
    place = f"sys/bus/i2c/devices/{address}"
    hwmon = f"{place}/hwmon/hwmon{number}"
    files: Files = {f"{place}/name": "ina3221\n", f"{hwmon}/name": "ina3221\n"}
    files[f"sys/class/hwmon/hwmon{number}"] = (
        f"-> ../../bus/i2c/devices/{address}/hwmon/hwmon{number}"
    )
    for channel, (rail, (volt, milliampere)) in enumerate(rails.items(), 1):
        files[f"{hwmon}/in{channel}_label"] = f"{rail}\n"
        files[f"{hwmon}/in{channel}_input"] = f"{volt}\n"
        files[f"{hwmon}/curr{channel}_input"] = f"{milliampere}\n"
        files[f"{hwmon}/curr{channel}_max"] = "32760\n"
        files[f"{hwmon}/curr{channel}_crit"] = "32760\n"
        files[f"{hwmon}/curr{channel}_max_alarm"] = "0\n"
        files[f"{hwmon}/curr{channel}_crit_alarm"] = "0\n"
    files[f"{hwmon}/in7_label"] = "sum of shunt voltages\n"
    files[f"{hwmon}/in7_input"] = "3\n"
    return files


def cpuinfo(cores: int, lines: dict[str, str], last: str = "") -> Files:
    """``/proc/cpuinfo``: a block for each processor, then what the kernel adds.

    Sources: https://docs.kernel.org/arch/x86/cpuinfo.html,
    https://docs.kernel.org/arch/arm64/elf_hwcaps.html.
    """
    block = "".join(f"{key}\t: {value}\n" for key, value in lines.items())
    text = "".join(f"processor\t: {core}\n{block}\n" for core in range(cores))
    return {"proc/cpuinfo": text + last, "sys/devices/system/cpu/online": f"0-{cores - 1}\n"}


def cpufreq(governor: str, khz: tuple[int, int, int]) -> Files:
    """Clocks of the processors' first group: smallest, current, largest.

    Source: https://docs.kernel.org/admin-guide/pm/cpufreq.html.
    """
    place = "sys/devices/system/cpu/cpufreq/policy0"
    names = ("scaling_min_freq", "scaling_cur_freq", "scaling_max_freq")
    files: Files = {f"{place}/{name}": f"{value}\n" for name, value in zip(names, khz, strict=True)}
    files["sys/devices/system/cpu/cpu0/cpufreq"] = "-> ../cpufreq/policy0"
    files[f"{place}/cpuinfo_max_freq"] = f"{khz[2]}\n"
    files[f"{place}/scaling_governor"] = f"{governor}\n"
    files[f"{place}/affected_cpus"] = "0 1 2 3\n"
    return files


def meminfo(total_kb: int, available_kb: int, swap_kb: int = 0) -> Files:
    """``/proc/meminfo``. Source: https://docs.kernel.org/filesystems/proc.html#meminfo."""
    values = {
        "MemTotal": total_kb,
        "MemFree": available_kb // 2,
        "MemAvailable": available_kb,
        "SwapTotal": swap_kb,
        "SwapFree": swap_kb,
    }
    return {"proc/meminfo": "".join(f"{k + ':':<15} {v:>9} kB\n" for k, v in values.items())}


def packages(versions: dict[str, str], architecture: str = "arm64") -> Files:
    """``/var/lib/dpkg/status``. Source: dpkg-query(1), deb-control(5)."""
    blocks = [
        f"Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: libs\n"
        f"Architecture: {architecture}\nVersion: {version}\nDescription: of {name}\n more of it\n"
        for name, version in versions.items()
    ]
    return {"var/lib/dpkg/status": "\n".join(blocks)}


def cuda(version: str) -> Files:
    """CUDA's own note of its version: a text until 11.0, a JSON document since.

    Source: CUDA Toolkit release notes 11.1; toolkits as installed by JetPack.
    """
    short = ".".join(version.split(".")[:2])
    if int(version.split(".")[0]) < 11:
        return {f"usr/local/cuda-{short}/version.txt": f"CUDA Version {version}\n"}
    document = {"cuda": {"name": "CUDA SDK", "version": version}}
    return {f"usr/local/cuda-{short}/version.json": json.dumps(document, indent=3)}


def nvinfer_header(version: str) -> Files:
    """The macros of ``NvInferVersion.h``. Source: NVIDIA/TensorRT, include/NvInferVersion.h."""
    names = ("MAJOR", "MINOR", "PATCH", "BUILD")
    text = "".join(
        f"#define NV_TENSORRT_{name} {part} //!< TensorRT.\n"
        for name, part in zip(names, version.split("."), strict=True)
    )
    return {"usr/include/aarch64-linux-gnu/NvInferVersion.h": f"#ifndef X\n{text}#endif\n"}


def python(version: str, *distributions: str) -> Files:
    """A system's Python and the ``name-version`` of what Debian's packages put beside it.

    Source: https://packaging.python.org/specifications/recording-installed-packages/.
    """
    files: Files = {"usr/bin/python3": f"-> python{version}", f"usr/bin/python{version}": ""}
    for name in distributions:
        title, number = name.rsplit("-", 1)
        metadata = f"Metadata-Version: 2.1\nName: {title}\nVersion: {number}\n"
        files[f"usr/lib/python3/dist-packages/{name}.dist-info/METADATA"] = metadata
    return files


def camera(number: int, name: str) -> Files:
    """A camera. Source: https://docs.kernel.org/admin-guide/media/ (video4linux class)."""
    files: Files = {f"sys/class/video4linux/video{number}/name": f"{name}\n"}
    files[f"dev/video{number}"] = ""
    return files

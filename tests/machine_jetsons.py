"""The files of the Jetsons among the boards of `machine_trees`, one function for each.

Names of power modes: published definitions of the Jetson Nano and of the Orin Nano Super, NVIDIA's
guides and boards' owners for the others. Families of names matter to a reader: MAXN, MODE_30W_ALL,
15W, and a Xavier NX that has no MAXN.
"""

from __future__ import annotations

import machine_files as f
from machine_files import Files

A57 = {
    "model name": "ARMv8 Processor rev 1 (v8l)",
    "Features": "fp asimd evtstrm aes pmull sha1 sha2 crc32",
    "CPU implementer": "0x41",
    "CPU part": "0xd07",
}
CARMEL = {
    "model name": "ARMv8 Processor rev 0 (v8l)",
    "Features": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid "
    "asimdrdm dcpop",
    "CPU implementer": "0x4e",
    "CPU part": "0x004",
}
A78AE = {
    "Features": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm "
    "lrcpc dcpop asimddp uscat ilrcpc flagm",
    "CPU implementer": "0x41",
    "CPU part": "0xd42",
}
V3AE = {
    "Features": f"{A78AE['Features']} sve sve2 i8mm bf16",
    "CPU implementer": "0x41",
    "CPU part": "0xd83",
}
A72 = {**A57, "CPU part": "0xd08"}
A76 = {**A78AE, "CPU part": "0xd0b"}
XAVIER_MODES = {
    0: "MAXN",
    1: "MODE_10W",
    2: "MODE_15W",
    3: "MODE_30W_ALL",
    4: "MODE_30W_6CORE",
    5: "MODE_30W_4CORE",
    6: "MODE_30W_2CORE",
}
XAVIER_NX_MODES = {
    0: "MODE_15W_2CORE",
    1: "MODE_15W_4CORE",
    2: "MODE_15W_6CORE",
    3: "MODE_10W_2CORE",
    4: "MODE_10W_4CORE",
    5: "MODE_10W_DESKTOP",
    6: "MODE_20W_2CORE",
    7: "MODE_20W_4CORE",
    8: "MODE_20W_6CORE",
}
NANO_MODES = {0: "MAXN", 1: "5W"}
TX2_MODES = {
    0: "MAXN",
    1: "MAXQ",
    2: "MAXP_CORE_ALL",
    3: "MAXP_CORE_ARM",
    4: "MAXP_CORE_DENVER",
}
AGX_ORIN_MODES = {0: "MAXN", 1: "MODE_15W", 2: "MODE_30W", 3: "MODE_50W"}
ORIN_NANO_SUPER_MODES = {0: "15W", 1: "25W", 2: "MAXN_SUPER", 3: "7W"}
ORIN_NX_MODES = {0: "MAXN", 1: "10W", 2: "15W", 3: "25W"}
THOR_MODES = {0: "MAXN", 1: "120W", 2: "90W", 3: "70W"}


def nano() -> Files:
    return {
        **f.tegra_release(32, "7.1", "t210ref", "Sat Feb 19 17:05:08 UTC 2022"),
        **f.device_tree(
            "NVIDIA Jetson Nano Developer Kit",
            ("nvidia,p3449-0000-b00+p3448-0000-b00", "nvidia,jetson-nano", "nvidia,tegra210"),
            boardids="3448",
        ),
        **f.nvpmodel(0, NANO_MODES, 1),
        **f.ina3221_iio(
            "6-0040",
            {"POM_5V_IN": (5000, 600), "POM_5V_GPU": (5000, 40), "POM_5V_CPU": (5000, 120)},
        ),
        **f.devfreq("57000000.gpu", "57000000.gpu", (76800000, 921600000, 921600000), load=125),
        "sys/devices/gpu.0": "-> 57000000.gpu",
        "sys/kernel/debug/clk/emc/clk_rate": "1600000000\n",
        **f.zones(
            {"AO-therm": 41500, "CPU-therm": 33000, "GPU-therm": 31500, "PLL-therm": 31000}
            | {"PMIC-Die": 100000, "thermal-fan-est": 32250}
        ),
        **f.cpuinfo(4, A57),
        **f.cpufreq("schedutil", (102000, 1479000, 1479000)),
        **f.meminfo(4059276, 1900000, 2029632),
        **f.packages({"libnvinfer8": "8.2.1-1+cuda10.2", "python3-libnvinfer": "8.2.1-1+cuda10.2"}),
        **f.cuda("10.2.300"),
        **f.python("3.6", "numpy-1.13.3", "tensorrt-8.2.1.9"),
        **f.camera(0, "vi-output, imx219 7-0010"),
        "proc/1201/comm": "Xorg\n",
    }


def tx2() -> Files:
    return {
        **f.tegra_release(32, "7.6", "t186ref", "Tue Nov  5 07:46:14 UTC 2024"),
        **f.device_tree("quill", ("nvidia,p2597-0000+p3310-1000", "nvidia,tegra186")),
        **f.boot_control("3310-B02-1000-E.0-1-0-jetson-tx2-devkit-mmcblk0p1"),
        **f.nvpmodel(3, TX2_MODES, 0),
        **f.ina3221_iio(
            "0-0040",
            {"VDD_SYS_GPU": (19000, 40), "VDD_SYS_SOC": (19000, 50), "VDD_4V0_WIFI": (4800, 10)},
        ),
        **f.ina3221_iio(
            "0-0041",
            {"VDD_IN": (19000, 300), "VDD_SYS_CPU": (19000, 60), "VDD_SYS_DDR": (19000, 30)},
            1,
        ),
        **f.devfreq(
            "17000000.gp10b", "17000000.gp10b", (114750000, 1300500000, 1300500000), load=0
        ),
        "sys/devices/gpu.0": "-> 17000000.gp10b",
        "sys/kernel/debug/bpmp/debug/clk/emc/rate": "1866000000\n",
        **f.zones(
            {"BCPU-therm": 36000, "MCPU-therm": 36000, "GPU-therm": 34500, "PLL-therm": 36000}
            | {"AO-therm": 35000, "Tboard_tegra": 31000, "Tdiode_tegra": 33250, "PMIC-Die": 100000}
        ),
        **f.cpuinfo(6, A57),
        **f.cpufreq("schedutil", (345600, 2035200, 2035200)),
        **f.meminfo(8041676, 6000000),
        **f.packages({"libnvinfer8": "8.2.1-1+cuda10.2", "python3-libnvinfer": "8.2.1-1+cuda10.2"}),
        **f.cuda("10.2.300"),
        **f.python("3.6", "numpy-1.13.3", "tensorrt-8.2.1.9"),
    }


def agx_xavier() -> Files:
    return {
        **f.tegra_release(35, "4.1", "t186ref", "Tue Aug  1 19:57:35 UTC 2023"),
        # One device tree serves every p2888: which one it is, only the part number says.
        **f.device_tree("Jetson-AGX", ("nvidia,p2822-0000+p2888-0001", "nvidia,tegra194")),
        **f.boot_control("2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1"),
        **f.nvpmodel(2, XAVIER_MODES, 2),
        **f.ina3221_hwmon(
            "1-0040", {"GPU": (19000, 50), "CPU": (19000, 60), "SOC": (19000, 100)}, 3
        ),
        **f.ina3221_hwmon(
            "1-0041", {"CV": (19000, 0), "VDDRQ": (19000, 20), "SYS5V": (19000, 90)}, 4
        ),
        **f.devfreq(
            "17000000.gv11b", "17000000.gv11b", (114750000, 675750000, 675750000), load=765
        ),
        "sys/devices/gpu.0": "-> 17000000.gv11b",
        "sys/kernel/debug/bpmp/debug/clk/emc/rate": "1331200000\n",
        **f.zones(
            {"CPU-therm": 38000, "GPU-therm": 37500, "AUX-therm": 37000, "AO-therm": 37500}
            | {"Tboard_tegra": 35000, "Tdiode_tegra": 37500, "PMIC-Die": 50000}
        ),
        **f.cpuinfo(8, CARMEL),
        **f.cpufreq("schedutil", (115200, 1190400, 1190400)),
        **f.meminfo(31811000, 28000000, 15905480),
        **f.packages({"libnvinfer8": "8.5.2-1+cuda11.4", "python3-libnvinfer": "8.5.2-1+cuda11.4"}),
        **f.cuda("11.4.19"),
        **f.nvinfer_header("8.5.2.2"),
        **f.python("3.8", "numpy-1.17.4", "tensorrt-8.5.2.2", "opencv-4.5.4"),
    }


def xavier_nx() -> Files:
    return {
        **f.tegra_release(35, "5.0", "t186ref", "Wed Feb 21 02:52:18 UTC 2024"),
        **f.device_tree(
            "NVIDIA Jetson Xavier NX Developer Kit",
            ("nvidia,p3509-0000+p3668-0001", "nvidia,tegra194"),
        ),
        **f.nvpmodel(8, XAVIER_NX_MODES, 2),
        **f.ina3221_hwmon(
            "7-0040",
            {"VDD_IN": (4952, 800), "VDD_CPU_GPU_CV": (4952, 120), "VDD_SOC": (4952, 200)},
            4,
        ),
        **f.devfreq(
            "17000000.gv11b", "17000000.gv11b", (114750000, 1109250000, 1109250000), load=765
        ),
        "sys/devices/gpu.0": "-> 17000000.gv11b",
        **f.zones({"CPU-therm": 40000, "GPU-therm": 48000, "AUX-therm": 39000, "AO-therm": 39500}),
        **f.cpuinfo(6, CARMEL),
        **f.cpufreq("schedutil", (115200, 1420800, 1420800)),
        **f.meminfo(6988000, 5000000, 3494000),
        # TensorRT without its Python part, which is the case that doctor mends.
        **f.packages({"libnvinfer8": "8.5.2-1+cuda11.4", "python3-numpy": "1:1.17.4-5ubuntu3"}),
        **f.cuda("11.4.19"),
        **f.python("3.8", "numpy-1.17.4"),
    }


def agx_orin_jetpack5() -> Files:
    return {
        **f.tegra_release(35, "3.1", "t186ref", "Sun Mar 19 15:19:21 UTC 2023"),
        **f.device_tree(
            "NVIDIA Jetson AGX Orin Developer Kit",
            ("nvidia,p3737-0000+p3701-0005", "nvidia,tegra234"),
        ),
        **f.nvpmodel(2, AGX_ORIN_MODES, 0),
        **f.ina3221_hwmon(
            "1-0040",
            {"VDD_GPU_SOC": (19000, 300), "VDD_CPU_CV": (19000, 40), "VIN_SYS_5V0": (4904, 800)},
            2,
        ),
        **f.ina3221_hwmon(
            "1-0041", {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (4904, 100), "NC ": (0, 0)}, 3
        ),
        **f.devfreq(
            "17000000.ga10b",
            "platform/17000000.ga10b",
            (306000000, 1300500000, 1300500000),
            load=500,
        ),
        "sys/kernel/debug/bpmp/debug/clk/emc/rate": "3199000000\n",
        **f.zones(
            {"CPU-therm": 45000, "GPU-therm": 42000, "CV0-therm": -256000, "SOC0-therm": 43000}
            | {"tj-therm": 45000}
        ),
        **f.cpuinfo(12, A78AE),
        **f.cpufreq("schedutil", (115200, 2201600, 2201600)),
        **f.meminfo(62800000, 58000000, 31400000),
        **f.packages({"libnvinfer8": "8.5.2-1+cuda11.4", "python3-libnvinfer": "8.5.2-1+cuda11.4"}),
        **f.cuda("11.4.19"),
        **f.nvinfer_header("8.5.2.2"),
        **f.python("3.8", "numpy-1.17.4", "tensorrt-8.5.2.2", "opencv-4.5.4"),
    }


def orin_nano_super() -> Files:
    return {
        **f.tegra_release(36, "4.3", "generic", "Wed Jan  8 01:49:37 UTC 2025", f.OOT),
        **f.device_tree(
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            ("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
        ),
        "sys/firmware/devicetree/base/chosen/sku": b"699-13767-0005-300 S.1\0",
        **f.boot_control("3767-300-0005-S.1-1-1-jetson-orin-nano-devkit-super-"),
        **f.nvpmodel(1, ORIN_NANO_SUPER_MODES, 1),
        **f.ina3221_hwmon(
            "1-0040",
            {"VDD_IN": (4984, 1200), "VDD_CPU_GPU_CV": (4984, 300), "VDD_SOC": (4984, 250)},
            1,
        ),
        **f.devfreq(
            "17000000.gpu",
            "platform/bus@0/17000000.gpu",
            (306000000, 306000000, 918000000),
            load=842,
        ),
        "sys/devices/platform/gpu.0": "-> bus@0/17000000.gpu",
        "sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000\n",
        **f.zones(
            {"cpu-thermal": 52000, "gpu-thermal": 54500, "cv0-thermal": None, "soc0-thermal": 51000}
            | {"tj-thermal": 54500}
        ),
        **f.cpuinfo(6, A78AE),
        **f.cpufreq("schedutil", (115200, 1344000, 1344000)),
        **f.meminfo(7802660, 3700000, 3901328),
        **f.packages(
            {
                "libnvinfer10": "10.3.0.30-1+cuda12.5",
                "python3-libnvinfer": "10.3.0.30-1+cuda12.5",
                "libcudnn9-cuda-12": "9.3.0.75-1",
                "nvidia-l4t-core": "36.4.3-20250107174145",
                "python3-opencv": "4.5.4+dfsg-9ubuntu4",
            }
        ),
        **f.cuda("12.6.11"),
        **f.nvinfer_header("10.3.0.30"),
        **f.python("3.10", "numpy-1.21.5", "tensorrt-10.3.0", "opencv-4.5.4"),
        **f.camera(0, "vi-output, imx219 9-0010"),
        **f.camera(1, "HD Pro Webcam C920"),
    }


def orin_nx() -> Files:
    return {
        **f.tegra_release(36, "4.7", "generic", "Thu Sep 18 22:54:44 UTC 2025", f.OOT),
        # Published from a carrier of another maker: the model is the name of NVIDIA's own.
        **f.device_tree(
            "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
            ("nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234"),
        ),
        "sys/firmware/devicetree/base/chosen/sku": b"699-13767-0000-300 H.2\0",
        **f.eeprom(0, "699-13767-0000-300 H.2"),
        **f.nvpmodel(2, ORIN_NX_MODES, 3),
        **f.ina3221_hwmon(
            "1-0040",
            {"VDD_IN": (5000, 1000), "VDD_CPU_GPU_CV": (5000, 300), "VDD_SOC": (5000, 250)},
            1,
        ),
        **f.devfreq(
            "17000000.gpu",
            "platform/bus@0/17000000.gpu",
            (306000000, 918000000, 918000000),
            load=0,
        ),
        "sys/devices/platform/gpu.0": "-> bus@0/17000000.gpu",
        **f.zones({"cpu-thermal": 48000, "gpu-thermal": 46000, "tj-thermal": 48000}),
        **f.cpuinfo(8, A78AE),
        **f.cpufreq("performance", (115200, 1984000, 1984000)),
        **f.meminfo(16100000, 14000000),
        **f.packages({"libnvinfer10": "10.3.0.30-1+cuda12.5", "nvidia-l4t-core": "36.4.7-2025"}),
        **f.cuda("12.6.11"),
        **f.python("3.10", "numpy-1.21.5", "tensorrt-10.3.0"),
        "usr/local/lib/python3.10/dist-packages/opencv_python-4.11.0.86.dist-info/METADATA": "",
    }


def orin_jetpack7() -> Files:
    return {
        **f.tegra_release(39, "2.0", "generic", "Mon Jun  1 09:28:48 PM UTC 2026", f.OOT),
        **f.device_tree(
            "NVIDIA Jetson AGX Orin Developer Kit",
            ("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
        ),
        **f.nvpmodel(2, AGX_ORIN_MODES, 0),
        **f.ina3221_hwmon(
            "1-0040",
            {"VDD_GPU_SOC": (19000, 300), "VDD_CPU_CV": (19000, 40), "VIN_SYS_5V0": (4904, 800)},
            2,
        ),
        **f.devfreq(
            "17000000.gpu",
            "platform/bus@0/17000000.gpu",
            (306000000, 1300500000, 1300500000),
            load=0,
        ),
        **f.zones({"cpu-thermal": 45000, "gpu-thermal": 42000, "tj-thermal": 45000}),
        **f.cpuinfo(12, A78AE),
        **f.cpufreq("schedutil", (115200, 2201600, 2201600)),
        **f.meminfo(62800000, 58000000, 31400000),
        **f.packages(
            {"libnvinfer10": "10.16.0.40-1+cuda13.2", "python3-libnvinfer": "10.16.0.40-1+cuda13.2"}
        ),
        **f.cuda("13.2.0"),
        **f.python("3.12", "numpy-1.26.4", "tensorrt-10.16.0", "opencv-4.6.0"),
    }


def thor() -> Files:
    pci = "platform/bus@0/d0b0000000.pcie/pci0000:00/0000:00:00.0/0000:01:00.0"
    return {
        **f.tegra_release(
            38, "2.0", "generic", "Fri Aug 22 00:55:42 UTC 2025", f"{f.OOT}INSTALL_TYPE=\n"
        ),
        **f.device_tree(
            "NVIDIA Jetson AGX Thor Developer Kit",
            ("nvidia,p3971-0089+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
        ),
        **f.nvpmodel(1, THOR_MODES, 1),
        **f.ina3221_hwmon(
            "2-0040",
            {"VDD_GPU": (19700, 100), "VDD_CPU_SOC_MSS": (19700, 330), "VIN_SYS_5V0": (4900, 1300)},
            2,
        ),
        "sys/bus/i2c/devices/2-0044/name": "ina238\n",
        "sys/bus/i2c/devices/2-0044/hwmon/hwmon3/name": "ina238\n",
        "sys/bus/i2c/devices/2-0044/hwmon/hwmon3/power1_input": "23000000\n",
        **f.devfreq("gpu-gpc-0", f"{pci}/gpu-gpc-0", (315000000, 1575000000, 1575000000)),
        **f.devfreq("gpu-nvd-0", f"{pci}/gpu-nvd-0", (315000000, 1692000000, 1692000000)),
        **f.devfreq("bwmgr", "platform/bus@0/bwmgr", (665600000, 4266000000, 4266000000)),
        **f.zones(
            {"cpu-thermal": 53700, "gpu-thermal": None, "soc012-thermal": 55100}
            | {"soc345-thermal": 53700, "tj-thermal": 55100}
        ),
        **f.cpuinfo(14, V3AE),
        **f.cpufreq("schedutil", (54000, 2601000, 2601000)),
        **f.meminfo(128790092, 104857600),
        **f.packages(
            {"libnvinfer10": "10.13.3.9-1+cuda13.0", "python3-libnvinfer": "10.13.3.9-1+cuda13.0"}
        ),
        **f.cuda("13.0.0"),
        **f.python("3.12", "numpy-1.26.4", "tensorrt-10.13.3.9", "opencv-4.6.0"),
    }

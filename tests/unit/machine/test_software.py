"""Versions come from files and lists of packages; damaged ones give none."""

from __future__ import annotations

from pathlib import Path

import machine_files as f
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.machine.packages import (
    debian_packages,
    importable,
    opencv_from_pip,
    python_packages,
    python_version,
)
from erpose_edge.machine.software import read_software
from erpose_edge.runtime.l4t import l4t_release, l4t_version


def write(root: Path, files: f.Files) -> Path:
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("-> "):
            place.symlink_to(content[3:])
        else:
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64", "32.7.1"),
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "35.4.1"),
        ("# R36 (release), REVISION: 4.7, GCID: 42132812\n# KERNEL_VARIANT: oot\n", "36.4.7"),
        ("# R38 (release), REVISION: 2.0, GCID: 41844464\nINSTALL_TYPE=\n", "38.2.0"),
        ("# R39 (release), REVISION: 2.1, GCID: 46758480, DATE: Fri Aug 7 05:54:22 AM", "39.2.1"),
        ("# R36 (release)\n# REVISION: 4.7\n", "# R36 (release) # REVISION: 4.7"),
    ],
)
def test_every_dialect_of_the_release_file_is_read(tmp_path, line, version):
    assert l4t_version(write(tmp_path, {"etc/nv_tegra_release": line})) == version


def test_the_key_of_engines_takes_major_and_minor(tmp_path):
    assert l4t_release(tmp_path) == "none"
    assert l4t_version(tmp_path) is None
    write(tmp_path, f.tegra_release(36, "4.7", "generic", "today"))
    assert l4t_release(tmp_path) == "36.4"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_release_of_some_kind(tmp_path_factory, content):
    root = tmp_path_factory.getbasetemp() / "release"
    write(root, {"etc/nv_tegra_release": content})
    assert len(l4t_version(root)) <= 80


def test_packages_that_were_removed_are_not_installed(tmp_path):
    files = f.packages({"libnvinfer10": "10.3.0.30-1+cuda12.5", "libnvinfer8": "8.6.2.3-1"})
    text = files["var/lib/dpkg/status"]
    assert isinstance(text, str)
    second = text.replace("install ok installed", "deinstall ok config-files", 1)
    write(tmp_path, {"var/lib/dpkg/status": second})
    assert debian_packages(tmp_path, [r"libnvinfer\d+"]) == {"libnvinfer8": "8.6.2.3-1"}
    assert debian_packages(tmp_path, ["libnvinfer"]) == {}


def test_the_newest_of_several_versions_counts(tmp_path):
    files = {
        **f.packages({"libnvinfer8": "8.6.2.3-1+cuda12.2", "libnvinfer10": "10.3.0.30-1+cuda12.5"}),
        **f.cuda("12.6.11"),
        **f.cuda("10.2.300"),
    }
    software, notes = read_software(write(tmp_path, files))
    assert (software.tensorrt, software.cuda) == ("10.3.0.30", "12.6.11")
    assert notes == ()


def test_a_header_says_the_version_where_no_package_does(tmp_path):
    software, _ = read_software(write(tmp_path, f.nvinfer_header("8.5.2.2")))
    assert software.tensorrt == "8.5.2.2"


def test_the_runtime_alone_says_the_version_of_cuda(tmp_path):
    files = f.packages({"cuda-cudart-12-6": "12.6.68-1", "libcudnn9-cuda-12": "9.3.0.75-1"})
    software, _ = read_software(write(tmp_path, files))
    assert (software.cuda, software.cudnn) == ("12.6.68", "9.3.0.75")


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '{"cuda": 3}', '{"cuda": {"version": 12}}', "[" * 9000, "\xff{"]
)
def test_a_damaged_note_of_cuda_is_none(tmp_path, text):
    write(tmp_path, {"usr/local/cuda-12.6/version.json": text})
    assert read_software(tmp_path)[0].cuda == ""


def test_another_release_line_falls_back_to_the_package_and_says_so(tmp_path):
    files = {"etc/nv_tegra_release": "odd", **f.packages({"nvidia-l4t-core": "36.4.3-20250107"})}
    software, notes = read_software(write(tmp_path, files))
    assert software.l4t == "36.4.3"
    assert notes == (
        "/etc/nv_tegra_release: expected a line like '# R36 (release), REVISION: 4.3', got 'odd'; "
        "took the version of nvidia-l4t-core",
    )


def test_python_of_another_root_is_the_one_that_its_link_names(tmp_path):
    write(tmp_path, {**f.python("3.9"), "usr/bin/python3.11": ""})
    assert python_version(tmp_path) == "3.9"
    (tmp_path / "usr/bin/python3").unlink()
    assert python_version(tmp_path) == "3.11"
    (tmp_path / "usr/bin/python3").symlink_to("python3")
    assert python_version(tmp_path) == "3.11"


def test_distributions_are_known_however_they_are_spelt(tmp_path):
    site = "usr/local/lib/python3.11/dist-packages"
    files: f.Files = {
        f"{site}/ai_edge_litert-2.1.0.dist-info/METADATA": "",
        f"{site}/opencv_python_headless-4.11.0.86.dist-info/METADATA": "",
        f"{site}/numpy-1.24.2-py3.11.egg-info": "",
        f"{site}/broken.dist-info": "",
    }
    write(tmp_path, files)
    found = {"numpy": "1.24.2", "cv2": "4.11.0.86", "ai_edge_litert": "2.1.0"}
    assert python_packages(tmp_path) == found
    assert opencv_from_pip(tmp_path)


def test_here_the_import_system_is_asked_and_nothing_is_imported():
    found = python_packages()
    assert "numpy" in found
    assert set(found) >= {"cv2"}
    assert not importable("erpose_edge_that_is_not_there")

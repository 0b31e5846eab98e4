"""The systemd unit, the script that installs it, and the one that starts a container."""

from __future__ import annotations

import configparser
import getpass
import os
import re
import shutil
import subprocess
import sys

import pytest

from erpose_edge.deploy.integration.files import integration_files
from erpose_edge.deploy.profile import load_profile
from erpose_edge.runtime.artifact import read_artifact

UNIT = "integration/systemd/erpose.service"
INSTALL = "integration/systemd/install.sh"
# Of systemd 245 (JetPack 5) and later. Ref: systemd.unit, systemd.service, systemd.exec and
# systemd.resource-control of https://www.freedesktop.org/software/systemd/man/latest/
KEYS = {
    "Unit": {"Description", "Documentation", "After", "StartLimitIntervalSec", "StartLimitBurst"},
    "Service": {
        "Type", "User", "SupplementaryGroups", "WorkingDirectory", "Environment",
        "EnvironmentFile", "CacheDirectory", "ExecStartPre", "ExecStart", "TimeoutStartSec",
        "Restart", "RestartSec", "RestartPreventExitStatus", "NoNewPrivileges", "ProtectSystem",
        "ProtectHome", "PrivateTmp", "ProtectKernelTunables", "ProtectKernelModules",
        "ProtectControlGroups", "RestrictSUIDSGID", "RestrictRealtime", "RestrictNamespaces",
        "LockPersonality", "RestrictAddressFamilies", "CapabilityBoundingSet", "UMask",
        "DevicePolicy", "DeviceAllow",
    },
    "Install": {"WantedBy"},
}  # fmt: skip


def entries(text):
    """Return (section, key, value) of every line of a unit; keys may come twice."""
    section, found = None, []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        assert equals and section, line
        found.append((section, key, value))
    return found


def of(text, key):
    return [value for _, name, value in entries(text) if name == key]


@pytest.mark.parametrize("bundle", ["jetson", "cpu"])
def test_every_line_of_the_unit_is_one_of_systemds(bundle, request):
    text = (request.getfixturevalue(bundle) / UNIT).read_text()
    configparser.ConfigParser(strict=False, interpolation=None).read_string(text)
    for section, key, _ in entries(text):
        assert key in KEYS[section], key


@pytest.mark.parametrize("bundle", ["jetson", "cpu"])
def test_systemd_takes_the_unit(bundle, request):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    unit = request.getfixturevalue(bundle) / UNIT
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_builds_and_tests_itself_before_it_serves(cpu):
    text = (cpu / UNIT).read_text()
    assert of(text, "ExecStartPre") == ["/bin/sh ./build", "/bin/sh ./selftest"]
    (start,) = of(text, "ExecStart")
    assert start == "/bin/sh ./run --source ${ERPOSE_SOURCE} --json $ERPOSE_OPTIONS"
    for command in ("build", "selftest", "run"):
        assert (cpu / command).is_file()


def test_what_no_other_try_mends_is_not_tried_again(cpu):
    from erpose_edge import errors

    (codes,) = of((cpu / UNIT).read_text(), "RestartPreventExitStatus")
    ends = (errors.EXIT_REQUEST, errors.EXIT_ACCURACY, errors.EXIT_TARGET, errors.EXIT_INTEGRITY)
    assert codes == " ".join(map(str, ends))


def test_a_processor_needs_no_device_but_cameras(cpu):
    text = (cpu / UNIT).read_text()
    assert of(text, "DevicePolicy") == ["closed"]
    assert of(text, "DeviceAllow") == ["char-video4linux rw"]
    assert of(text, "PrivateTmp") == ["yes"]


def test_a_jetsons_camera_is_reached_through_tmp_and_its_devices_stay_open(jetson):
    text = (jetson / UNIT).read_text()
    assert of(text, "PrivateTmp") == ["no"]
    assert of(text, "DevicePolicy") == []
    assert of(text, "After") == ["nvargus-daemon.service"]


def test_a_card_is_reached_by_its_devices_names(jetson):
    artifact = read_artifact(jetson / "artifacts" / "fp32")
    text = integration_files(artifact, load_profile("tensorrt-x86"))[UNIT].decode()
    assert of(text, "DeviceAllow") == ["char-video4linux rw", "char-nvidia* rw"]


def printed(script, *arguments, code=0):
    done = subprocess.run(["sh", script, *arguments], capture_output=True, text=True, cwd="/")
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_installed_unit_follows_the_link_current(cpu, tmp_path):
    release = tmp_path / "erpose-edge" / "onnxruntime-cpu" / "releases" / "abc"
    shutil.copytree(cpu, release)
    (release.parents[1] / "current").symlink_to("releases/abc")
    place = release.parents[1] / "current"
    unit = printed(place / INSTALL, "--print", "--user", "robot")
    assert of(unit, "WorkingDirectory") == [str(place)]
    assert of(unit, "User") == ["robot"]
    before = entries((cpu / UNIT).read_text())
    changed = {key for (_, key, a), (_, _, b) in zip(before, entries(unit), strict=True) if a != b}
    assert changed == {"WorkingDirectory", "User"}


def test_elsewhere_it_serves_the_folder_itself_as_its_owner(cpu):
    if getpass.getuser() == "root":
        message = "error: user: expected a login other than root, got root; give --user LOGIN\n"
        assert printed(cpu / INSTALL, "--print", code=2) == message
        return
    unit = printed(cpu / INSTALL, "--print")
    assert of(unit, "User") == [getpass.getuser()]
    assert of(unit, "WorkingDirectory") == [str(cpu)]


@pytest.mark.parametrize("user", ["", "a b", "x\nExecStart=/bin/evil", "a|b", "$(id)"])
def test_a_login_that_is_none_is_refused(cpu, user):
    said = printed(cpu / INSTALL, "--print", "--user", user, code=2)
    assert said.startswith("error: user: expected ")


def test_a_place_that_no_unit_can_name_is_refused(cpu, tmp_path):
    place = tmp_path / "a b"
    shutil.copytree(cpu / "integration", place / "integration")
    said = printed(place / INSTALL, "--print", "--user", "robot", code=2)
    assert said == (
        f"error: place: expected a path of letters, digits and ._/@+-, got '{place}'; move it\n"
    )


def test_a_container_builds_and_then_serves(cpu, tmp_path):
    """Run start.sh as the container does, with a python3 that says what it was asked."""
    folder = tmp_path / "bundle"
    shutil.copytree(cpu / "integration", folder / "integration")
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$PWD $@"\n[ "$3" != "$FAIL" ]\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    command = ["sh", "integration/docker/start.sh", "--source", "a b", "--json"]

    def start(fail):
        return subprocess.run(
            command, cwd=folder, env={**environment, "FAIL": fail}, capture_output=True, text=True
        )

    done = start("")
    assert done.stderr.splitlines() == [f"{folder} -m erpose_runtime build"]
    assert done.stdout.splitlines() == [f"{folder} -m erpose_runtime run --source a b --json"]
    assert start("build").returncode == 1
    assert start("build").stdout == ""


def test_what_the_unit_runs_runs(cpu, tmp_path):
    """The commands of the unit, in its folder, with this Python."""
    pytest.importorskip("onnxruntime")
    text = (cpu / UNIT).read_text()
    environment = {**os.environ, "PYTHON": sys.executable, "XDG_CACHE_HOME": str(tmp_path)}
    (build, _), (start,) = of(text, "ExecStartPre"), of(text, "ExecStart")
    assert re.fullmatch(r"/bin/sh \./build", build)
    done = subprocess.run(build.split(), cwd=cpu, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    arguments = start.replace("${ERPOSE_SOURCE}", "nothing.png").replace("$ERPOSE_OPTIONS", "")
    done = subprocess.run(
        arguments.split(), cwd=cpu, env=environment, capture_output=True, text=True
    )
    # The tiny network finds none of the poses that its made-up manifest promises.
    assert done.returncode == 3, done.stderr
    assert "self-test: expected it to pass" in done.stderr

"""The pipelines that camera.sh hands to `run`."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from gstreamer_text import parts

SCRIPT = "integration/gstreamer/camera.sh"
STREAM = "rtsp://user:word@10.0.0.1:554/a?b=1&c=2"
KINDS = [["csi"], ["csi", "1"], ["usb"], ["usb", "/dev/video2"], ["mjpeg"], ["libcamera"],
         ["rtsp", STREAM], ["test"]]  # fmt: skip


def camera(bundle, *arguments, code=0, **environment):
    done = subprocess.run(
        ["sh", bundle / SCRIPT, *arguments],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout.rstrip("\n") if code == 0 else done.stderr


@pytest.mark.parametrize("bundle", ["jetson", "cpu"])
@pytest.mark.parametrize("arguments", KINDS, ids=" ".join)
def test_every_pipeline_leads_from_a_source_to_bgr_frames_for_cv2(bundle, arguments, request):
    found = parts(camera(request.getfixturevalue(bundle), "--print", *arguments))
    assert found[-2] == ("video/x-raw", {"format": "BGR"})
    name, settings = found[-1]
    assert name == "appsink"
    live = arguments[0] != "test"
    assert settings.get("drop", "false") == ("true" if live else "false")
    assert settings["sync"] == "false"


@pytest.mark.parametrize(
    ("arguments", "name", "key", "value"),
    [
        (["csi", "1"], "nvarguscamerasrc", "sensor-id", "1"),
        (["csi"], "nvarguscamerasrc", "sensor-id", "0"),
        (["usb", "/dev/video2"], "v4l2src", "device", "/dev/video2"),
        (["rtsp", STREAM], "rtspsrc", "location", STREAM),
    ],
)
def test_where_it_reads_from_is_what_was_asked(cpu, arguments, name, key, value):
    assert dict(parts(camera(cpu, "--print", *arguments)))[name][key] == value


def test_a_jetson_asks_for_its_own_camera_first_and_converts_with_its_own_element(jetson, cpu):
    assert parts(camera(jetson, "--print"))[0][0] == "nvarguscamerasrc"
    assert parts(camera(cpu, "--print"))[0][0] == "v4l2src"
    assert "nvvidconv" in dict(parts(camera(jetson, "--print", "rtsp", STREAM)))
    assert "nvvidconv" not in dict(parts(camera(cpu, "--print", "rtsp", STREAM)))


def test_the_mode_is_the_environments(cpu):
    text = camera(cpu, "--print", "usb", WIDTH="640", HEIGHT="480", FPS="60")
    assert parts(text)[1] == (
        "video/x-raw", {"width": "640", "height": "480", "framerate": "60/1"},
    )  # fmt: skip


def test_a_file_is_read_whole_from_wherever_it_lies(cpu, tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"")
    done = subprocess.run(
        ["sh", cpu / SCRIPT, "--print", "file", "v.mp4"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    found = parts(done.stdout)
    assert found[0] == ("filesrc", {"location": str(tmp_path / "v.mp4")})
    assert "drop" not in found[-1][1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "source: expected csi, usb, mjpeg, libcamera, file, rtsp or test, "
            "got 'nothing'"),
        (["file", "/no.mp4"], "file: expected a video, got '/no.mp4'; check the path"),
        (["rtsp", "http://x"], "rtsp: expected rtsp://..., got 'http://x'"),
        (["usb", "/dev/x ! filesink"], "source: expected a path or address without blanks and "
         "quotes, got '/dev/x ! filesink'; rename it"),
        (["usb", 'a"b'], "source: expected a path or address without blanks and quotes, got "
         "'a\"b'; rename it"),
    ],
)  # fmt: skip
def test_what_is_no_source_is_refused(cpu, arguments, message):
    assert camera(cpu, "--print", *arguments, code=2) == f"error: {message}\n"


def test_a_mode_that_is_no_number_is_refused(cpu):
    said = camera(cpu, "--print", "usb", code=2, FPS="30 ! x")
    assert said == "error: WIDTH, HEIGHT, FPS: expected whole numbers, got '30 ! x'\n"


def test_run_is_given_the_pipeline_as_one_word_and_the_rest_as_it_is(cpu, tmp_path):
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    python.chmod(0o755)
    said = camera(
        cpu, "usb", "/dev/video1", "--limit", "5", PATH=f"{tmp_path}:{os.environ['PATH']}"
    )
    words = said.splitlines()
    assert words[:4] == ["-m", "erpose_runtime", "run", "--source"]
    assert words[4] == "gst:" + camera(cpu, "--print", "usb", "/dev/video1")
    assert words[5:] == ["--json", "--limit", "5"]


def test_gstreamer_takes_the_pipelines(cpu):
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("no GStreamer here")
    text = camera(cpu, "--print", "test").replace("appsink", "fakesink")
    done = subprocess.run(["gst-launch-1.0", *text.split()], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "text",
    ["", "!", "usb", "v4l2src !", "! appsink", "v4l2src appsink", "v4l2src ! ! appsink",
     "v4l2src device= ! appsink", "v4l2src ! video/x-raw,a ! appsink", "rm ! appsink"],
)  # fmt: skip
def test_the_reader_of_these_tests_refuses_what_is_no_pipeline(text):
    with pytest.raises(ValueError):
        parts(text)

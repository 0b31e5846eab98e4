"""GStreamer's notation of pipelines, as far as this project writes it, without GStreamer.

Ref: https://gstreamer.freedesktop.org/documentation/tools/gst-launch.html
"""

from __future__ import annotations

import re

# By the plugin that brings them.
ELEMENTS = {
    "coreelements": ("fakesink", "filesrc"),
    "app": ("appsink",),
    "jpeg": ("jpegdec",),
    "libcamera": ("libcamerasrc",),
    "playback": ("decodebin", "uridecodebin"),
    "rtsp": ("rtspsrc",),
    "video4linux2": ("v4l2src",),
    "videoconvert": ("videoconvert",),
    "videotestsrc": ("videotestsrc",),
    "NVIDIA's for Jetson": ("nvarguscamerasrc", "nvvidconv"),
    "DeepStream": ("nvinfer", "nvstreammux", "nvvideoconvert"),
}
_KNOWN = {name for names in ELEMENTS.values() for name in names}
_ELEMENT = re.compile(r"[a-z][a-z0-9]*")
_CAPS = re.compile(r"(?:video|image)/[a-z-]+(?:\(memory:NVMM\))?")
_PAD = re.compile(r"[a-z]+\.[a-z]+_\d+")
_SETTING = re.compile(r"([a-z][a-z-]*)=(\S+)")
_CAPS_SETTING = re.compile(r"[a-z]+=[A-Za-z0-9/]+")


def parts(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return elements, caps and pads of a pipeline in order, with their settings.

    Raises:
        ValueError: It is not a pipeline, or an element is not a known one.
    """
    found: list[tuple[str, dict[str, str]]] = []
    linked = True  # whether something may stand here that the part before leads to
    for word in text.split():
        if word == "!":
            if linked:
                raise ValueError(f"nothing to link: {text}")
            linked = True
        elif "=" in word and not _CAPS.match(word):
            setting = _SETTING.fullmatch(word)
            if linked or setting is None:
                raise ValueError(f"no setting of an element: {word}")
            found[-1][1][setting[1]] = setting[2]
        elif linked or _PAD.fullmatch(found[-1][0]):
            found.append(_part(word))
            linked = False
        else:
            raise ValueError(f"not linked: {word}")
    if linked:
        raise ValueError(f"leads nowhere: {text}")
    return found


def _part(word: str) -> tuple[str, dict[str, str]]:
    name, *settings = word.split(",")
    if _CAPS.fullmatch(name):
        if not all(_CAPS_SETTING.fullmatch(setting) for setting in settings):
            raise ValueError(f"no caps: {word}")
        return name, dict(setting.split("=") for setting in settings)
    if settings or not (_PAD.fullmatch(word) or (_ELEMENT.fullmatch(word) and word in _KNOWN)):
        raise ValueError(f"no known element: {word}")
    return word, {}

"""Which integration files a bundle holds, made from a manifest and a target's profile.

Templates lie beside this module. What runs on the board as Python is not a template: it is copied
as it is, and reads the manifest there.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from erpose_edge import __version__
from erpose_edge.deploy.integration.containers import dockerfiles
from erpose_edge.deploy.profile import Profile
from erpose_edge.runtime.artifact import Artifact
from erpose_edge.runtime.preprocess import PADDING

FOLDER = "integration"
_TEMPLATES = Path(__file__).parent / "templates"
_NETWORK_MODES = {"fp32": 0, "int8": 1, "fp16": 2}  # nvinfer's numbers
_ROS = "ros2/erpose_ros2"
# Copied as they are.
_PLAIN = (
    "docker/start.sh",
    "systemd/install.sh",
    f"{_ROS}/setup.cfg",
    f"{_ROS}/resource/erpose_ros2",
    f"{_ROS}/erpose_ros2/__init__.py",
    f"{_ROS}/erpose_ros2/conversions.py",
    f"{_ROS}/erpose_ros2/node.py",
    f"{_ROS}/launch/erpose.launch.py",
)
_NVIDIA_CARD = "DevicePolicy=closed\nDeviceAllow=char-video4linux rw\nDeviceAllow=char-nvidia* rw"
_CPU = "DevicePolicy=closed\nDeviceAllow=char-video4linux rw"
# Which nodes CUDA opens differs from JetPack to JetPack, so nothing is closed unless you do it.
_JETSON = """\
# Devices are not closed: which nodes CUDA opens differs by JetPack. To close the others, try these
# lines and see that `systemctl start erpose` passes the self-test. They were never tried.
#DevicePolicy=closed
#DeviceAllow=char-video4linux rw
#DeviceAllow=char-nvhost* rw
#DeviceAllow=char-nvgpu* rw
#DeviceAllow=char-nvmap* rw
#DeviceAllow=char-drm rw"""


def integration_files(
    artifact: Artifact, profile: Profile, folder: str | None = None
) -> dict[str, bytes]:
    """Return the integration files of a bundle, by their path in it.

    Args:
        artifact: That serves; the first of the bundle.
        profile: Of its target.
        folder: Of the artifact in the bundle; ``artifacts/<precision>`` by default.

    Returns:
        Content by posix path relative to the bundle, each under ``integration/``, so that it can be
        handed to `write_bundle` as it is; the same artifact and profile give the same bytes. None
        for phones, where nothing of this runs.
    """
    if profile.device_tree == []:
        return {}
    manifest = artifact.manifest
    height, width = manifest.input_size
    facts = {
        "target": profile.name,
        "precision": manifest.precision,
        "contract": manifest.contract,
        "height": str(height),
        "width": str(width),
        "padding": str(manifest.preprocessing.get("padding", PADDING)),
        "version": __version__,
        "artifact": folder or f"artifacts/{manifest.precision}",
        "network_mode": str(_NETWORK_MODES[manifest.precision]),
        "outputs": ";".join(spec.name for spec in manifest.outputs),
        **_of_device(profile),
    }

    def filled(path: str, **more: str) -> str:
        return Template(_template(path)).substitute(facts, **more)

    made = {path: _template(path) for path in _PLAIN}
    for path in (
        "README.md",
        "gstreamer/camera.sh",
        "systemd/erpose.service",
        f"{_ROS}/package.xml",
        f"{_ROS}/setup.py",
    ):
        made[path] = filled(path)
    for name, text in dockerfiles(manifest, profile, filled).items():
        made[f"docker/{name}"] = text
    if profile.engine == "tensorrt":
        made["deepstream/config_infer.txt"] = filled("deepstream/config_infer.txt")
        made["deepstream/pose_probe.py"] = _template("deepstream/pose_probe.py")
    return {f"{FOLDER}/{path}": made[path].encode() for path in sorted(made)}


def _of_device(profile: Profile) -> dict[str, str]:
    """Return what depends on the kind of device: GStreamer's elements and systemd's lines."""
    jetson = profile.engine == "tensorrt" and bool(profile.device_tree)
    camera = "csi" if jetson else "usb"
    converter = "nvvidconv ! video/x-raw,format=BGRx ! videoconvert" if jetson else "videoconvert"
    devices = _NVIDIA_CARD if profile.engine == "tensorrt" else _CPU
    return {
        "kind": camera,
        "convert": converter,
        "after": "After=nvargus-daemon.service" if jetson else "After=local-fs.target",
        # nvargus-daemon is reached through a socket in /tmp.
        "private_tmp": "PrivateTmp=no" if jetson else "PrivateTmp=yes",
        "devices": _JETSON if jetson else devices,
        "deepstream": _DEEPSTREAM if profile.engine == "tensorrt" else "",
    }


def _template(path: str) -> str:
    return (_TEMPLATES / path).read_text(encoding="utf-8")


_DEEPSTREAM = (
    "| `deepstream/` | nvinfer's configuration, and a program that decodes what it gives |\n"
)

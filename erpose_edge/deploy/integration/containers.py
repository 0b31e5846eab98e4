"""Dockerfiles of a bundle: which image a target starts from.

Tags are those that public Dockerfiles name; no image was pulled, so none is verified. There is no
``l4t-jetpack`` for JetPack 7: Thor takes NVIDIA's TensorRT image.

Ref: https://catalog.ngc.nvidia.com/orgs/nvidia/containers/l4t-jetpack and l4t-tensorrt; in use:
r35.4.1, r36.3.0, r36.4.0 and r8.5.2-runtime, r8.6.2-runtime, r10.3.0-runtime in public projects.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from erpose_edge.deploy.profile import Profile
from erpose_edge.runtime.manifest import Manifest

FOLDER = "docker"
_VERSION = re.compile(r"(\d+)\.(\d+)")
# What pip calls an engine of `Profile.engine`, and the tool of the manifest that has its version.
_PACKAGES = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "tflite": "ai-edge-litert",
}


@dataclass(frozen=True)
class JetPackImages:
    """Images for the boards with one version of TensorRT.

    Attributes:
        tensorrt: (major, minor) that JetPack brings.
        jetpack: Its versions.
        tags: By image.
    """

    tensorrt: tuple[int, int]
    jetpack: str
    tags: dict[str, str]


JETPACK_IMAGES = (
    JetPackImages((8, 5), "5.1", {"l4t-jetpack": "r35.4.1", "l4t-tensorrt": "r8.5.2-runtime"}),
    JetPackImages((8, 6), "6.0", {"l4t-jetpack": "r36.3.0", "l4t-tensorrt": "r8.6.2-runtime"}),
    JetPackImages(
        (10, 3), "6.1 and 6.2", {"l4t-jetpack": "r36.4.0", "l4t-tensorrt": "r10.3.0-runtime"}
    ),
)


def jetpack_images(profile: Profile) -> tuple[JetPackImages, ...]:
    """Return the images that boards of a target can use, oldest first; none off a Jetson."""
    if not profile.device_tree:
        return ()
    found = (_VERSION.match(version) for version in profile.tensorrt_versions.values())
    versions = {(int(match[1]), int(match[2])) for match in found if match}
    return tuple(images for images in JETPACK_IMAGES if images.tensorrt in versions)


def dockerfiles(manifest: Manifest, profile: Profile, filled: Callable[..., str]) -> dict[str, str]:
    """Return the Dockerfiles of a bundle, and what each of them leaves out, by file name.

    Args:
        manifest: Of the artifact that serves.
        profile: Of the target.
        filled: Returns a template, named by its path, with the values of its ``$names``.
    """
    tail = filled(f"{FOLDER}/tail.txt").rstrip()
    ignored = filled(f"{FOLDER}/dockerignore.txt")
    files = {}
    images = jetpack_images(profile)
    if images:
        for image, newest in images[-1].tags.items():
            files[f"Dockerfile.{image}"] = filled(
                f"{FOLDER}/Dockerfile.jetson",
                name=f"Dockerfile.{image}",
                image=image,
                tag=newest,
                tags="\n".join(
                    f"#   JetPack {i.jetpack}: --build-arg TAG={i.tags[image]}" for i in images
                ),
                tail=tail,
            )
    elif profile.engine == "tensorrt":
        name = "Dockerfile.tensorrt"
        files[name] = filled(f"{FOLDER}/{name}", name=name, tail=tail)
    else:
        name = "Dockerfile"
        package = _PACKAGES[profile.engine]
        version = manifest.tool_versions.get(package)
        files[name] = filled(
            f"{FOLDER}/Dockerfile.python",
            name=name,
            engine=f"{package}=={version}" if version else package,
            tail=tail,
        )
    return {**files, **{f"{name}.dockerignore": ignored for name in files}}

"""Dockerfiles: their instructions, what they copy, who runs it, which image they start from."""

from __future__ import annotations

import json
import re

import pytest

from erpose_edge.deploy.integration.containers import JETPACK_IMAGES, jetpack_images
from erpose_edge.deploy.integration.files import integration_files
from erpose_edge.deploy.profile import list_profiles, load_profile
from erpose_edge.runtime.artifact import read_artifact

# Ref: https://docs.docker.com/reference/dockerfile/
INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "RUN", "USER",
                "VOLUME", "WORKDIR"}  # fmt: skip
BUNDLES = {"jetson": ["Dockerfile.l4t-jetpack", "Dockerfile.l4t-tensorrt"], "cpu": ["Dockerfile"]}
FILES = [(bundle, name) for bundle, names in BUNDLES.items() for name in names]


def instructions(text):
    """Return (instruction, rest) of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            found.append((word, re.sub(r"\s+", " ", rest).strip()))
    return found


def of(text, word):
    return [rest for name, rest in instructions(text) if name == word]


@pytest.fixture(params=FILES, ids=lambda pair: "-".join(pair))
def dockerfile(request):
    bundle, name = request.param
    return (request.getfixturevalue(bundle) / "integration" / "docker" / name).read_text()


def test_a_dockerfile_is_made_of_dockers_instructions(dockerfile):
    words = [word for word, _ in instructions(dockerfile)]
    assert set(words) <= INSTRUCTIONS
    assert words[:2] == ["ARG", "FROM"]
    for word in ("CMD", "ENTRYPOINT", "FROM", "HEALTHCHECK", "USER"):
        assert words.count(word) == 1, word


def test_nobody_is_root_when_it_serves_and_the_tests_of_health_are_its_own(dockerfile):
    words = [word for word, _ in instructions(dockerfile)]
    assert of(dockerfile, "USER") == ["erpose"]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("RUN", "COPY"))
    assert any("useradd" in run and "--groups video" in run for run in of(dockerfile, "RUN"))
    (health,) = of(dockerfile, "HEALTHCHECK")
    assert json.loads(health.partition("CMD ")[2])[-1] == "selftest"
    options = re.findall(r"--(\w[\w-]*)=(\w+)", health.partition("CMD")[0])
    assert {name for name, _ in options} == {"interval", "timeout", "start-period", "retries"}


def test_what_starts_lies_in_the_bundle(dockerfile, cpu):
    (entry,), (arguments,) = of(dockerfile, "ENTRYPOINT"), of(dockerfile, "CMD")
    shell, script = json.loads(entry)
    assert (shell, (cpu / script).is_file()) == ("sh", True)
    assert json.loads(arguments) == ["--source", "0", "--json"]
    assert of(dockerfile, "COPY") == [". /opt/erpose-edge/"]
    assert of(dockerfile, "WORKDIR") == ["/opt/erpose-edge"]
    for source in (rest.split()[0] for rest in of(dockerfile, "COPY")):
        assert (cpu / source).exists()


def test_engines_are_kept_where_the_runtime_looks_for_them(dockerfile):
    (volume,) = of(dockerfile, "VOLUME")
    environment = dict(pair.split("=") for pair in of(dockerfile, "ENV")[0].split())
    assert json.loads(volume) == [environment["XDG_CACHE_HOME"]]


def test_no_training_goes_into_a_container(dockerfile):
    assert "torch" not in dockerfile


def test_the_engine_has_the_version_that_the_artifact_was_tested_with(cpu):
    from dataclasses import replace

    artifact = read_artifact(cpu / "artifacts" / "fp32")
    tools = replace(artifact.manifest, tool_versions={"onnxruntime": "1.31.1"})
    files = integration_files(replace(artifact, manifest=tools), load_profile("onnxruntime-cpu"))
    (run, _) = of(files["integration/docker/Dockerfile"].decode(), "RUN")
    assert run.split()[-1] == "onnxruntime==1.31.1"
    (run, _) = of((cpu / "integration/docker/Dockerfile").read_text(), "RUN")
    assert run.split()[-1] == "onnxruntime"


def test_a_jetson_starts_from_the_newest_image_of_its_jetpacks(jetson):
    for image, tag in JETPACK_IMAGES[-1].tags.items():
        text = (jetson / "integration" / "docker" / f"Dockerfile.{image}").read_text()
        assert of(text, "ARG") == [f"TAG={tag}"]
        assert of(text, "FROM") == [f"nvcr.io/nvidia/{image}:${{TAG}}"]
        for images in JETPACK_IMAGES:
            assert f"JetPack {images.jetpack}: --build-arg TAG={images.tags[image]}" in text
        assert "none was pulled or run" in text


@pytest.mark.parametrize(
    ("target", "jetpacks"),
    [("xavier-nx", ["5.1"]), ("thor", []), ("tensorrt-x86", []), ("openvino-cpu", [])],
)
def test_a_target_has_the_images_of_its_own_tensorrt(target, jetpacks):
    assert [images.jetpack for images in jetpack_images(load_profile(target))] == jetpacks


def test_every_target_but_phones_has_a_dockerfile_and_each_leaves_out_what_is_not_the_bundles(
    jetson, cpu
):
    for profile in list_profiles():
        folder = jetson if profile.engine == "tensorrt" else cpu
        files = integration_files(read_artifact(folder / "artifacts" / "fp32"), profile)
        names = {n.rpartition("/")[2] for n in files if "/Dockerfile" in n}
        plain = {name for name in names if not name.endswith(".dockerignore")}
        assert names - plain == {f"{name}.dockerignore" for name in plain}
        assert bool(plain) == (not profile.name.startswith("android")), profile.name

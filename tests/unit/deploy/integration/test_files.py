"""Which files a bundle gets for which target, and that each is what it says it is."""

from __future__ import annotations

import ast
import configparser
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tiny_pose import write_tiny_artifact

import erpose_edge
from erpose_edge.deploy.integration.files import integration_files
from erpose_edge.deploy.profile import list_profiles, load_profile
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.bundle import read_bundle

TARGETS = [profile.name for profile in list_profiles() if profile.status == "available"]
TEMPLATES = Path(erpose_edge.__file__).parent / "deploy" / "integration" / "templates"


@pytest.fixture(scope="module")
def files_of(tmp_path_factory):
    """Return a function from a target's name to its files."""
    folder, made = tmp_path_factory.mktemp("artifacts"), {}

    def files(target):
        profile = load_profile(target)
        place = folder / profile.engine
        if not place.exists():
            write_tiny_artifact(place, "compact", profile.engine)
        if target not in made:
            made[target] = integration_files(read_artifact(place), profile)
        return made[target]

    return files


def text_of(files, name):
    return files[f"integration/{name}"].decode()


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_inputs_give_the_same_bytes(files_of, target, tmp_path):
    profile = load_profile(target)
    artifact = read_artifact(write_tiny_artifact(tmp_path / "a", "compact", profile.engine))
    again = integration_files(artifact, profile)
    assert again == files_of(target)
    assert list(again) == sorted(again)
    assert all(name.startswith("integration/") for name in again)


@pytest.mark.parametrize("target", TARGETS)
def test_deepstream_goes_where_tensorrt_is_and_nothing_to_phones(files_of, target):
    profile = load_profile(target)
    folders = {name.split("/")[1] for name in files_of(target)}
    if target.startswith("android"):
        assert not folders
        return
    deepstream = {"deepstream"} if profile.engine == "tensorrt" else set()
    assert folders == {"README.md", "docker", "gstreamer", "ros2", "systemd"} | deepstream


def test_python_files_parse_as_python_3_8(files_of):
    names = [name for name in files_of("jetson-orin") if name.endswith(".py")]
    assert len(names) == 6
    for name in names:
        ast.parse(files_of("jetson-orin")[name], feature_version=(3, 8))


@pytest.mark.parametrize("target", ["jetson-orin", "openvino-cpu"])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_scripts_parse(files_of, target, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    for name, content in files_of(target).items():
        if name.endswith(".sh"):
            done = subprocess.run([shell, "-n"], input=content, capture_output=True)
            assert (done.returncode, done.stderr) == (0, b""), name


def test_package_xml_is_a_package_of_ros(files_of):
    root = ElementTree.fromstring(text_of(files_of("jetson-orin"), "ros2/erpose_ros2/package.xml"))
    assert (root.tag, root.get("format")) == ("package", "3")
    for tag in ("name", "version", "description", "maintainer", "license"):
        assert root.findtext(tag), tag
    assert root.findtext("export/build_type") == "ament_python"
    imported = (
        {
            name.split(".")[0]
            for file in ("erpose_ros2/node.py", "launch/erpose.launch.py")
            for node in ast.walk(
                ast.parse(text_of(files_of("jetson-orin"), f"ros2/erpose_ros2/{file}"))
            )
            if isinstance(node, ast.ImportFrom | ast.Import) and not getattr(node, "level", 0)
            for name in [getattr(node, "module", None) or node.names[0].name]
        }
        - sys.stdlib_module_names
        - {"erpose_edge"}
    )
    assert imported <= {element.text for element in root.findall("exec_depend")}


def test_the_ros_package_installs_its_program_its_marker_and_its_launch_file(
    files_of, tmp_path, monkeypatch
):
    for name, content in files_of("openvino-cpu").items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder = tmp_path / "integration" / "ros2" / "erpose_ros2"
    said = {}
    import setuptools

    monkeypatch.setattr(setuptools, "setup", lambda **facts: said.update(facts))
    monkeypatch.chdir(folder)
    exec(compile((folder / "setup.py").read_text(), "setup.py", "exec"), {"__name__": "setup"})
    for _, sources in said["data_files"]:
        assert sources
        assert all((folder / source).is_file() for source in sources), sources
    assert said["packages"] == ["erpose_ros2"]
    assert said["entry_points"]["console_scripts"] == ["pose_node = erpose_ros2.node:main"]
    assert said["version"] == erpose_edge.__version__
    scripts = configparser.ConfigParser()
    scripts.read(folder / "setup.cfg")
    assert scripts["install"]["install_scripts"] == "$base/lib/erpose_ros2"


def test_a_bundle_with_these_files_is_verified(jetson, cpu):
    for folder in (jetson, cpu):
        listed = read_bundle(folder, in_use=True).document.files
        assert "integration/systemd/erpose.service" in listed


def test_every_template_is_used(files_of):
    """A template that no target gets is dead, one that is missing is an error."""
    made = {name for target in TARGETS for name in files_of(target)}
    names = {p.relative_to(TEMPLATES).as_posix() for p in TEMPLATES.rglob("*") if p.is_file()}
    names = {name for name in names if "__pycache__" not in name}
    parts = {"docker/tail.txt", "docker/dockerignore.txt", "docker/Dockerfile.python",
             "docker/Dockerfile.jetson"}  # fmt: skip
    assert {f"integration/{name}" for name in names - parts} <= made

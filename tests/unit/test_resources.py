from pathlib import Path

import pytest

from erpose_edge import resources
from erpose_edge.errors import ConfigError, TargetError, WeightsError
from erpose_edge.resources import find_resource, list_resources


@pytest.mark.parametrize("name", ["n", "n.yaml", "tiny"])
def test_a_bundled_name_is_found_with_and_without_suffix(name):
    assert find_resource("configs", name).stem == name.removesuffix(".yaml")


def test_a_name_may_hold_a_folder():
    assert find_resource("calibration", "policies/default").name == "default.yaml"
    assert "policies/default" in list_resources("calibration")


def test_a_path_wins_over_a_bundled_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.yaml").write_text("mine")
    assert find_resource("configs", "n.yaml") == Path("n.yaml")


def test_a_folder_of_that_name_does_not_hide_the_bundled_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n").mkdir()
    assert find_resource("configs", "n").name == "n.yaml"


@pytest.mark.parametrize(
    ("kind", "error"),
    [("configs", ConfigError), ("targets", TargetError), ("weights", WeightsError)],
)
def test_an_unknown_name_is_an_error_of_its_kind(kind, error):
    with pytest.raises(error, match=r"expected a file, or a bundled name .*, got 'no-such-thing'"):
        find_resource(kind, "no-such-thing")


def test_the_near_name_is_suggested():
    with pytest.raises(TargetError, match="did you mean 'openvino-cpu'"):
        find_resource("targets", "openvino_cpu")


def test_nothing_outside_the_folder_has_a_bundled_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        find_resource("configs", "../targets/openvino-cpu")


def test_data_inside_the_package_are_used_where_they_are(tmp_path, monkeypatch):
    package = tmp_path / "erpose_edge"
    folder = package / "_data" / "configs"
    folder.mkdir(parents=True)
    (folder / "z.yaml").touch()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert list_resources("configs") == ["z"]

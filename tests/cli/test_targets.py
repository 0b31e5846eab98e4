import json

from erpose_edge.cli.app import main
from erpose_edge.resources import list_resources


def test_targets_lists_every_target_with_its_status(capsys):
    assert main(["targets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in list_resources("targets"):
        (line,) = [line for line in lines if line.partition(" ")[0] == name]
        assert "available" in line or "planned" in line


def test_json_is_one_document_with_every_profile(capsys):
    assert main(["targets", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [target["name"] for target in document["targets"]] == list_resources("targets")


def test_show_prints_a_file_that_can_be_used_again(capsys, tmp_path):
    assert main(["targets", "show", "openvino-cpu"]) == 0
    text = capsys.readouterr().out
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert main(["targets", "show", str(path)]) == 0
    assert capsys.readouterr().out == text


def test_show_as_json(capsys):
    assert main(["targets", "show", "jetson-orin", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "available"
    assert document["tensorrt"]["compute_capability"] == "8.7"


def test_an_unknown_target_ends_with_5(capsys):
    assert main(["targets", "show", "toaster"]) == 5
    assert capsys.readouterr().err.startswith("error: target: expected a file, or a bundled name")

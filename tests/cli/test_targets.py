import json

import pytest

from erpose_edge.cli.app import main
from erpose_edge.resources import list_resources
from erpose_edge.schemas import load_schema

jsonschema = pytest.importorskip("jsonschema")


def errors(name, document):
    checker = jsonschema.Draft202012Validator(load_schema(name))
    return [error.message for error in checker.iter_errors(document)]


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
    assert errors("targets", document) == []


def test_yaml_is_a_file_that_can_be_used_again(capsys, tmp_path):
    assert main(["targets", "show", "openvino-cpu", "--yaml"]) == 0
    text = capsys.readouterr().out
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert main(["targets", "show", str(path), "--yaml"]) == 0
    assert capsys.readouterr().out == text


def test_a_board_with_a_way_out_is_listed_as_best_effort(capsys):
    main(["targets"])
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("jetson-tx2 ")]
    assert "planned, best effort" in line


@pytest.mark.parametrize("name", list_resources("targets"))
def test_show_explains_every_target(capsys, name):
    assert main(["targets", "show", name]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{name}: ")
    assert "Precisions, as they are tried" in text
    assert "\nRules\n" in text
    assert max(len(line) for line in text.splitlines() if "://" not in line) <= 100


def test_show_says_what_is_tried_where_and_why(capsys):
    main(["targets", "show", "jetson-orin"])
    text = " ".join(capsys.readouterr().out.split())
    for said in (
        "decoded instead of compact, for JetPack 6.1 to 6.2.2: JetPack 6 (TensorRT 10.3) was",
        "agx-orin JetPack 5.0 to 5.1, TensorRT not known: int8, mixed, fp16, fp32",
        "JetPack 7.2, TensorRT 10.16: int8, mixed, fp16, fp32; no DLA",
        "JetPack 7.2.2, TensorRT 11.4.1: int8, mixed, fp16, fp32; DLA",
        "99 % of the images within 8 ms",
        "Unverified: no source was found for orin-nano-4gb: cuda_cores, tensor_cores,",
    ):
        assert said in text


def test_show_says_where_int8_is_not_to_be_trusted(capsys):
    main(["targets", "show", "openvino-cpu"])
    text = " ".join(capsys.readouterr().out.split())
    assert "x86-avx-vnni int8, mixed, fp16, fp32 x86-avx2 int8" in text
    assert "fp32 unless another is measured faster; int8 sums saturate x86-old" in text


def test_show_as_json(capsys):
    assert main(["targets", "show", "jetson-orin", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "available"
    assert document["tensorrt"]["compute_capability"] == "8.7"
    assert errors("target", document) == []
    assert {case["contract"] for case in document["cases"]} == {"", "decoded"}
    assert document["unverified"]["agx-orin-32gb"] == ["original.power_modes"]


def test_an_unknown_target_ends_with_5(capsys):
    assert main(["targets", "show", "toaster"]) == 5
    assert capsys.readouterr().err.startswith("error: target: expected a file, or a bundled name")

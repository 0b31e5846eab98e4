import json
import subprocess
import sys
from pathlib import Path

import pytest
from machine_trees import BOARDS, build

from erpose_edge.cli.app import main
from erpose_edge.cli.output import console
from erpose_edge.schemas import load_schema

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(autouse=True)
def _width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_it_names_this_machine_and_what_it_serves(capsys):
    code = main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, load_schema("doctor"))
    assert code == (0 if document["served"] else 5)
    assert document["machine"]["cpu"]["cores"] >= 1


@pytest.mark.parametrize("name", BOARDS)
def test_it_names_a_board_from_its_files(capsys, tmp_path, name):
    code = main(["doctor", "--json", "--root", str(build(name, tmp_path))])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, load_schema("doctor"))
    assert code == (0 if document["served"] else 5)
    board, machine = BOARDS[name], document["machine"]
    assert machine["board"]["part_number"] == (board.part or "")
    assert machine["software"]["jetpack"].startswith(board.jetpack or "")
    modes = machine["power_mode"] or {"modes": {}, "current": None}
    assert {number: mode for mode, number in modes["modes"].items()} == board.modes
    assert modes["current"] == board.current


def test_the_page_has_a_command_in_one_line(capsys, tmp_path):
    assert main(["doctor", "--root", str(build("xavier-nx", tmp_path))]) == 5
    out = capsys.readouterr().out
    headings = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert headings == ["Machine", "Software", "Targets", "What to do"]
    assert "xavier-nx-8gb, flashed as original" in out
    assert "        sudo apt install python3-libnvinfer\n" in out
    assert "untested: nothing was run on L4T 35.5.0" in out


def test_a_root_that_is_none_ends_with_2(capsys, tmp_path):
    assert main(["doctor", "--root", str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: root: expected the folder of a file system, got ")
    assert error.endswith("; check the path\n")


HEAVY = ("torch", "numpy", "cv2", "openvino", "onnxruntime", "onnx", "asyncssh", "matplotlib")


@pytest.mark.slow
def test_nothing_heavy_is_imported():
    program = (
        "import sys; from erpose_edge.cli.app import main; main(['doctor', '--json']); "
        f"sys.exit(','.join(set(sys.modules) & set({HEAVY})))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stderr.strip() == ""


def test_the_guide_shows_what_is_printed(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "_width", 100)
    guide = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    main(["doctor", "--root", str(build("orin-nano-super", tmp_path))])
    out = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    shown = guide.partition("<!-- doctor:begin -->\n")[2].partition("<!-- doctor:end -->")[0]
    assert shown == f"```text\n{out}\n```\n"

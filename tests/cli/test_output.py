import json
from pathlib import Path

import numpy as np
import pytest

from erpose_edge.cli.output import emit_json, progress


def test_json_takes_paths_and_numpy_values(capsys):
    emit_json({"path": Path("a/b"), "one": np.float32(0.5), "many": np.arange(3)})
    written = json.loads(capsys.readouterr().out)
    assert written == {"path": "a/b", "one": 0.5, "many": [0, 1, 2]}


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), np.array([np.nan])])
def test_a_number_that_json_does_not_have_is_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit_json({"value": value})


def test_progress_goes_to_stderr_a_line_each_tenth(capsys):
    with progress("validate") as advance:
        for done in range(1, 101):
            advance(done, 100, "[note]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 11
    assert captured.err.splitlines()[-1] == "validate: 100/100 [note]"


def test_progress_of_nothing_does_not_divide_by_zero(capsys):
    with progress("validate") as advance:
        advance(0, 0)
    assert capsys.readouterr().err == "validate: 0/0\n"

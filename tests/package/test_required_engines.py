"""``ERPOSE_REQUIRE`` turns skips for missing engines into failures, and only those."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import engines
import pytest

TESTS = Path(engines.__file__).parent

# Skips in every way there is: a whole module, a test, a fixture; and for other reasons.
OF_A_MODULE = """
import pytest
pytest.importorskip("openvino")
def test_in_the_module(): pass
"""
OF_A_TEST = """
import pytest
from engines import engine

@pytest.fixture
def tflite():
    engine("tflite")

def test_by_itself(): engine("openvino")
def test_by_fixture(tflite): pass
def test_other_package(): pytest.importorskip("no_such_package")
def test_other_reason(): pytest.skip("it is Sunday")
def test_that_runs(): pass
"""
WITHOUT = """
import sys
import pytest
for name in {blocked}:
    sys.modules[name] = None  # its import fails as if it were not there
options = ["-p", "engines", "-p", "no:cacheprovider", "-p", "no:anyio"]
options += ["-rA", "--continue-on-collection-errors"]
sys.exit(pytest.main([*options, {folder!r}]))
"""


def run_without(blocked: tuple[str, ...], required: str, folder: Path) -> tuple[int, str]:
    (folder / "test_module.py").write_text(OF_A_MODULE)
    (folder / "test_tests.py").write_text(OF_A_TEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(blocked=blocked, folder=str(folder))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS), engines.VARIABLE: required},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


ENGINES = ("openvino", "litert_torch", "ai_edge_litert")


def test_missing_engines_skip_where_nothing_is_required(tmp_path):
    code, output = run_without(ENGINES, "", tmp_path)
    assert code == 0, output
    assert "1 passed, 5 skipped" in output


def test_missing_engines_that_are_required_fail_and_name_the_package(tmp_path):
    code, output = run_without(ENGINES, "openvino,tflite", tmp_path)
    assert code == 1, output
    assert "1 failed, 1 passed, 2 skipped, 2 errors" in output
    for place, package in (
        ("test_tests.py::test_by_itself", "openvino"),
        ("test_tests.py::test_by_fixture", "litert_torch"),
        ("test_module.py", "openvino"),
    ):
        assert (
            f"{place}: expected the package {package} as ERPOSE_REQUIRE says, got none; install it "
            "or leave its engine out of the variable"
        ) in output


def test_only_the_engines_that_are_named_are_required(tmp_path):
    code, output = run_without(ENGINES, "tflite", tmp_path)
    assert code == 1, output
    assert "1 passed, 4 skipped, 1 error" in output


def test_an_engine_that_nobody_knows_is_a_mistake(tmp_path):
    code, output = run_without((), "openvinoo", tmp_path)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "ERPOSE_REQUIRE: expected some of openvino, onnxruntime, tflite" in output
    assert "got 'openvinoo'" in output


@pytest.mark.parametrize("hook", ["pytest_runtest_makereport", "pytest_make_collect_report"])
def test_this_suite_has_the_switch(pytestconfig, hook):
    implementations = getattr(pytestconfig.hook, hook).get_hookimpls()
    assert engines.__name__ in {found.function.__module__ for found in implementations}

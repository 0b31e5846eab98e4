"""Engines that a test needs: missing ones skip it, unless ``ERPOSE_REQUIRE`` says they are there.

``ERPOSE_REQUIRE=openvino,tflite`` turns every skip for a missing package of these engines into a
failure, wherever in the suite it happens: a broken installation cannot pass for a green run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import Any

import pytest

# What has to be imported to export for an engine and to run what was exported.
PACKAGES = {
    "openvino": ("onnx", "openvino"),
    "onnxruntime": ("onnx", "onnxruntime"),
    "tflite": ("litert_torch", "ai_edge_litert"),
    # The graph is checked by TensorRT-RTX and computed by ONNX Runtime.
    "tensorrt": ("onnx", "tensorrt_rtx", "onnxruntime"),
    "baselines": ("nncf", "litert_quantizer"),
}
VARIABLE = "ERPOSE_REQUIRE"
_MISSING = re.compile(r"could not import '([\w.]+)'")


def engine(name: str) -> None:
    """Skip the test, or the module that calls this, where a package of an engine is missing."""
    for package in PACKAGES[name]:
        pytest.importorskip(package)


def required_packages() -> set[str]:
    """Return the packages of the engines in the variable.

    Raises:
        pytest.UsageError: It names an engine that is not in `PACKAGES`.
    """
    names = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    for name in names:
        if name not in PACKAGES:
            raise pytest.UsageError(
                f"{VARIABLE}: expected some of {', '.join(PACKAGES)}, got {name!r}"
            )
    return {package for name in names for package in PACKAGES[name]}


def pytest_configure() -> None:
    required_packages()  # a mistake in the variable: now


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _failed_if_required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _failed_if_required((yield))


def _failed_if_required(report: Any) -> Any:
    missing = _MISSING.search(str(report.longrepr)) if report.skipped else None
    if missing and missing[1].partition(".")[0] in required_packages():
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid}: expected the package {missing[1]} as {VARIABLE} says, got none; "
            "install it or leave its engine out of the variable"
        )
    return report

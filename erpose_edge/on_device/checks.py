"""Commands that look before anything is measured or served: verify, build, selftest.

Each returns its document for ``--json``, its lines for people, and its exit code.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import EXIT_ACCURACY, EXIT_PASS
from erpose_edge.on_device.opened import EngineOptions, OpenedBundle, open_bundle, self_test

if TYPE_CHECKING:
    from erpose_edge.on_device.program import Outcome
    from erpose_edge.runtime.artifact import Artifact
    from erpose_edge.runtime.selftest import Miss


def verify(options: argparse.Namespace) -> Outcome:
    """Check every file of the bundle against its hash, and who signed it if a key is given."""
    from erpose_edge.runtime.bundle_signature import check_signature, read_public_key

    opened = open_bundle(options.bundle)
    key = None if options.key is None else read_public_key(options.key)
    checked = check_signature(opened.bundle, key, strict=options.strict)
    signed = ", signed by the key that was given" if checked else ""
    document = {**_named(opened), "signature_checked": checked}
    return document, [f"{opened.bundle.folder}: {opened.bundle.name} is whole{signed}"], EXIT_PASS


def build(options: argparse.Namespace) -> Outcome:
    """Build the engine of every artifact for this device; engines without a build are opened."""
    opened = open_bundle(options.bundle)
    engines = []
    for name, artifact in opened.artifacts.items():
        started = time.perf_counter()
        tensorrt = artifact.manifest.engine == "tensorrt"
        made = _tensorrt_engine(artifact, options) if tensorrt else _opened(opened, name, options)
        engines.append(
            {"artifact": name, **made, "seconds": round(time.perf_counter() - started, 2)}
        )
    lines = [f"{made['artifact']}: {made['engine']}, {made['seconds']} s" for made in engines]
    return {**_named(opened), "engines": engines}, lines, EXIT_PASS


def selftest(options: argparse.Namespace) -> Outcome:
    """Find the poses that the bundle says must be found."""
    opened = open_bundle(options.bundle)
    estimator = opened.estimator(options=EngineOptions.of(options))
    misses = self_test(opened, estimator)
    document = {
        **_named(opened),
        "artifact": opened.serving,
        "engine": estimator.runner.engine,
        **self_test_document(opened, misses),
    }
    lines = [miss_line(miss) for miss in misses] or [f"self-test passed, {estimator.runner.engine}"]
    return document, lines, EXIT_ACCURACY if misses else EXIT_PASS


def self_test_document(opened: OpenedBundle, misses: list[Miss]) -> dict[str, Any]:
    """Return what a self-test found, as plain values; distances that are infinite are null."""
    test = opened.artifacts[opened.serving].manifest.self_test
    rows = [asdict(miss) for miss in misses]
    for row in rows:
        row["nearest_px"] = row["nearest_px"] if row["nearest_px"] < float("inf") else None
    return {"pictures": len(test.seeds) if test else 0, "passed": not misses, "misses": rows}


def miss_line(miss: Miss) -> str:
    """Return a pose that was not found as a line for people."""
    got = f"one at {miss.nearest_px:.1f} px" if miss.nearest_px < float("inf") else "none"
    return (
        f"self-test, picture {miss.seed}: expected a pose of score {miss.score:.2f} within "
        f"{miss.allowed_px:.1f} px, got {got}"
    )


def _named(opened: OpenedBundle) -> dict[str, Any]:
    return {"bundle": opened.bundle.name, "target": opened.bundle.target}


def _tensorrt_engine(artifact: Artifact, options: argparse.Namespace) -> dict[str, Any]:
    from erpose_edge.runtime.tensorrt.build import BuildOptions, engine_for, tensorrt_module
    from erpose_edge.runtime.tensorrt.cuda import gpu_facts
    from erpose_edge.runtime.tensorrt.cuda_library import CudaLibrary

    module = tensorrt_module()
    settings = BuildOptions(
        cache=options.cache,
        dla_core=EngineOptions.of(options).core_for(artifact),
        force=options.force,
        workspace_mb=options.workspace_mb,
        optimization_level=options.level,
        again=options.again,
    )
    path = engine_for(artifact, module, gpu_facts(CudaLibrary()), settings)
    return {"engine": f"TensorRT {module.__version__}", "path": str(path)}


def _opened(opened: OpenedBundle, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Open an artifact whose engine compiles it when it is loaded; nothing is kept."""
    return {"engine": opened.estimator(name, EngineOptions.of(options)).runner.engine, "path": None}

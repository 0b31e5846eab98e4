"""Scripts that write numbers into documents: what they write is what was measured."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LATENCY = {
    "infer_ms": {"p50": 40.0, "p90": 41.0, "p99": 42.0},
    "end_to_end_ms": {"p50": 44.04, "p90": 45.0, "p99": 47.06},
    "cpu": {"model": "Some CPU", "flags": ["avx2"], "threads": 2},
    "engine": "OpenVINO 2026.4.1",
    "unstable": False,
}


@pytest.fixture
def script(monkeypatch):
    """Import a script by its name."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "document.md"
    path.write_text("before\n<!-- measured:begin -->\nold\n<!-- measured:end -->\nafter\n")
    return path


def candidate(precision, ap, retention, **changes):
    return {
        "precision": precision,
        "ap": ap,
        "retention": retention,
        "size_mb": 11.26,
        "accuracy": {"people": 9},
        "latency": {**LATENCY, **changes},
    }


@pytest.fixture
def verdict(tmp_path):
    """A verdict file; the candidates are given."""

    def write(*candidates):
        path = tmp_path / "verdict.json"
        document = {
            "target": "openvino-cpu",
            "verdict": "pass",
            "chosen": "int8",
            "data": "4 generated scenes of seed 0",
            "candidates": candidates,
        }
        path.write_text(json.dumps(document))
        return path

    return write


def test_a_block_is_replaced_and_nothing_else(script, document):
    script("measured_block").replace_block(document, "measured", ["new", "lines"])
    assert document.read_text() == (
        "before\n<!-- measured:begin -->\nnew\nlines\n<!-- measured:end -->\nafter\n"
    )


def test_a_document_without_the_marks_is_left_alone(script, document):
    before = document.read_text()
    with pytest.raises(SystemExit, match="expected one pair of marks"):
        script("measured_block").replace_block(document, "others", ["new"])
    assert document.read_text() == before


def test_the_readme_table_has_the_numbers_of_the_verdict_with_fp32_first(
    script, document, verdict, tmp_path
):
    path = verdict(candidate("int8", 0.4956, 0.9912), candidate("fp32", 0.5, None))
    for precision, ap in (("fp32", 0.31), ("int8", 0.30)):
        (tmp_path / f"{precision}.json").write_text(json.dumps({"ap": ap, "images": 139}))
    validated = ["--validate", "photos", *(str(tmp_path / f"{p}.json") for p in ("fp32", "int8"))]
    script("readme_table").main([str(path), *validated, "--document", str(document)])
    text = document.read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| (fp32|int8) ", line)]
    assert rows == [
        "| fp32 | 0.500 | - | 0.310 | 40.0 | 44.0 | 47.1 | 11.3 |",
        "| int8 | 0.496 | 99.1% | 0.300 | 40.0 | 44.0 | 47.1 | 11.3 |",
    ]
    assert "AP, photos (139 images)" in text
    assert "OpenVINO 2026.4.1 on Some CPU, 2 threads (avx2)" in text
    assert "busy" not in text


def test_the_readme_table_says_when_the_machine_was_busy(script, document, verdict):
    path = verdict(candidate("int8", 0.4, 0.8, unstable=True), candidate("fp32", 0.5, None))
    script("readme_table").main([str(path), "--document", str(document)])
    assert "The machine was busy: the latency of int8 varied" in document.read_text()


def test_no_path_of_a_machine_goes_into_the_model_card(script):
    short = script("model_card")._short
    assert short("/home/me/data/coco/val.json") == "coco/val.json"
    assert short("/home/me/clone/erpose_edge/weights/erpose-n.safetensors") == "erpose-n"
    assert short("--images") == "--images"


def test_the_tables_of_the_method_are_those_of_the_code(script):
    torch = pytest.importorskip("torch")
    text = (ROOT / "docs" / "method.md").read_text()
    tables = script("method_tables")
    for row in tables.costs():
        assert f"| {' | '.join(row)} |" in text
    smooth = tables.LossConfig().smooth
    r = torch.tensor([1.0, 4.0])
    columns = [tables.gradient(r, weight) for weight in (0.0, smooth, 1.0)]
    for index, distance in enumerate(("1", "4")):
        cells = [f"{float(column[index]):.3f}" for column in columns]
        assert f"| {distance} | {' | '.join(cells)} |" in text


def test_the_contrast_table_tells_more_grid_points_apart_with_contrast(script):
    pytest.importorskip("torch")
    tables = script("method_tables")
    rows = tables.contrasts(3)
    assert {tuple(row[:2]) for row in rows} >= {("medium", error) for error in tables._ERRORS}
    for row in rows:
        assert len(row) == len(tables._HEADINGS)
        best, first, sharp_first, plain, sharp = map(float, row[3:])
        assert 0 < first <= sharp_first <= best <= 1
        assert 1 <= plain <= sharp


def test_no_document_names_a_machine():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        assert not re.search(r"(?<![\w.])/(home|work|tmp|root|Users)/", path.read_text()), path


@pytest.mark.slow
def test_the_training_benchmark_measures_every_part_and_says_which_is_slower(script, tmp_path):
    pytest.importorskip("torch")
    benchmark = script("benchmark_training")
    document = tmp_path / "document.md"
    document.write_text("<!-- training-speed:begin -->\n<!-- training-speed:end -->\n")
    small = ["--cfg", "tiny", "--set", "training.batch_size=2", "--steps", "1", "--repeats", "1"]
    benchmark.main([*small, "--set", "data.workers=0", "--cpu-time", "--document", str(document)])
    text = document.read_text()
    for row in (
        r"\| loader alone, images decoded \| - \| [\d.]+ \|",
        r"\| loader alone, 8 of 8 images find room in the cache \| - \| [\d.]+ \|",
        r"\| step alone \| fp32 \| [\d.]+ \|",
        r"fp32: the (loader|step) is the slower one",
        r"\| fp32 \| [\d.]+% \| (yes|no) \|",
        r"\| 8 \| (\d+|not measured) \|",
    ):
        assert re.search(row, text), row


def speeds(loader, step, **changes):
    named = [("loader alone, images decoded", "", loader), ("loader alone, cached", "", loader)]
    named.append(("step alone", "fp32", step))
    return {
        "cpu": {"model": "Some CPU", "cores": 2, "load": [0.0, 0.0, 0.0]},
        "scale": "n", "batch_size": 16, "input_size": [320, 320], "mosaic": 0.5, "workers": 1,
        "threads": 1, "cpu_time": False, "sources": ["coco/train.json"], "busy": False,
        "speeds": [
            {"what": what, "precision": precision, "images_per_s": rate, "spread": 0.01}
            for what, precision, rate in named
        ],
        "objective_share": {"fp32": 0.12},
        "assignment_memory_mb": {"1": 28.0, "8": None},
        **changes,
    }  # fmt: skip


def test_the_training_benchmark_says_plainly_which_is_slower_and_what_is_too_much(script):
    lines_of = script("benchmark_training").lines_of
    text = "\n".join(lines_of(speeds(100, 20)))
    assert "fp32: the step is the slower one (loader 5.0 times" in text
    assert "| fp32 | 12.0% | yes |" in text
    assert "| 8 | not measured |" in text
    assert "other work" not in text
    text = "\n".join(lines_of(speeds(10, 20, objective_share={"fp32": 0.16}, busy=True)))
    assert "fp32: the loader is the slower one (loader 0.5 times" in text
    assert "| fp32 | 16.0% | no |" in text
    assert "The machine had other work" in text


def test_the_timed_objective_teaches_what_the_objective_teaches(script):
    torch = pytest.importorskip("torch")
    benchmark = script("benchmark_training")
    config = benchmark.load_config("tiny", ["data.workers=0"])
    training_set = benchmark.open_training_set(config, config.training, lambda _: None)
    plan = benchmark.LoadPlan(0, 0, 1, 2, 0, 1, 1)
    batch = next(benchmark.load_batches(training_set, plan, 0))
    images = batch.images.permute(0, 3, 1, 2).float() / 255
    gradients = []
    for kind in (benchmark.Objective, benchmark.TimedObjective):
        torch.manual_seed(0)
        skeleton = benchmark.skeleton_named("coco-17")
        network = benchmark.ERPose(config.network, 17).train()
        objective = kind(config.training, skeleton, (64, 64), benchmark._HERE.normaliser)
        outputs = benchmark.TrainingNetwork(network, imitates=False)(images)
        loss, _ = objective(outputs, batch.people, 0.5)
        loss.backward()
        gradients.append([p.grad for p in network.parameters() if p.grad is not None])
    assert objective.seconds > 0
    assert len(gradients[0]) == len(gradients[1]) > 0
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)

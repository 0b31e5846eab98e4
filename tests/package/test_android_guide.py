"""What docs/guides/android.md tells an app to compute is what our own decoder computes.

The arithmetic of its Kotlin code is taken out of the text and evaluated here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from quantized_network import quantized_network
from shallow_network import SIZE, shallow, shallow_policy

from erpose_edge.deploy.profile import list_profiles
from erpose_edge.exporters import tflite
from erpose_edge.exporters.engine_export import EngineExport
from erpose_edge.exporters.tflite.sidecar import sidecar
from erpose_edge.network.plan import STRIDES
from erpose_edge.runtime.decode import OFFSET_UNIT, decode, output_names
from erpose_edge.runtime.preprocess import letterbox

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "android.md").read_text()
KOTLIN = "\n".join(re.findall(r"^```kotlin\n(.*?)^```", GUIDE, re.M | re.S))
INPUT = (64, 96)
K = 17


def kotlin(pattern):
    """Return a function of the names in the one Kotlin expression that ``pattern`` finds."""
    (expression,) = re.findall(pattern, KOTLIN)
    expression = re.sub(r"(\d)f\b", r"\1", expression)
    for whole in ("cell / columns", "width / stride", "- scaledWidth) / 2", "- scaledHeight) / 2"):
        expression = expression.replace(whole, whole.replace("/", "//"))
    return lambda **names: eval(expression, {"probability": sigmoid, **names})


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def raw_maps(rng):
    channels = {"scores": 1, "keypoints": 2 * K, "visibility": K}
    return {
        f"{name}_{s}": rng.normal(size=(1, c, INPUT[0] // s, INPUT[1] // s)).astype(np.float32)
        for s in STRIDES
        for name, c in channels.items()
    }


def test_the_apps_arithmetic_of_raw_maps_is_our_decoder(rng):
    maps = raw_maps(rng)
    _, fit = letterbox(np.zeros((*INPUT, 3), np.uint8), INPUT)
    expected = decode(maps, "raw", fit, STRIDES, 0.0, 1000)
    columns_of, grid_x, grid_y = (
        kotlin(rf"val {name} = (.*)") for name in ("columns", "gridX", "gridY")
    )
    x, y = kotlin(r"\{ k -> (gridX \+ .*?) \}"), kotlin(r"\{ k -> (gridY \+ .*?) \}")
    seen = kotlin(r"\{ k -> (probability\(visibility.*?) \},")
    found = []
    for stride in STRIDES:
        # As they lie in the file: NHWC, flat.
        scores, offsets, visibility = (
            maps[f"{name}_{stride}"].transpose(0, 2, 3, 1).ravel()
            for name in ("scores", "keypoints", "visibility")
        )
        names = {"stride": stride, "keypoints": K, "unit": OFFSET_UNIT}
        names["columns"] = columns_of(width=INPUT[1], stride=stride)
        for cell in range(len(scores)):
            place = {**names, "cell": cell}
            place["gridX"], place["gridY"] = grid_x(**place), grid_y(**place)
            points = [
                (
                    x(**place, k=k, offsets=offsets),
                    y(**place, k=k, offsets=offsets),
                    seen(**place, k=k, visibility=visibility),
                )
                for k in range(K)
            ]
            found.append((sigmoid(scores[cell]), points))
    found.sort(key=lambda pose: -pose[0])
    assert len(found) == len(expected.scores)
    np.testing.assert_allclose([score for score, _ in found], expected.scores, rtol=1e-5)
    points = np.array([points for _, points in found])
    np.testing.assert_allclose(points[..., :2], expected.keypoints, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(points[..., 2], expected.visibility, rtol=1e-4)


@pytest.mark.parametrize("source", [(480, 640), (97, 60), (64, 96)])
def test_the_apps_letterbox_is_ours(source):
    _, fit = letterbox(np.zeros((*source, 3), np.uint8), INPUT)
    scaled_w, scaled_h = round(fit.scale_x * source[1]), round(fit.scale_y * source[0])
    left = kotlin(r"val left = (.*)")(width=INPUT[1], scaledWidth=scaled_w)
    top = kotlin(r"val top = (.*)")(height=INPUT[0], scaledHeight=scaled_h)
    assert (left, top) == (fit.pad_x, fit.pad_y)
    points = np.array([[3.0, 4.0], [50.5, 20.25]])
    pose = SimpleNamespace(x=points[:, 0], y=points[:, 1])
    every = slice(None)
    x = kotlin(r"pose\.x\[k\] = (.*)")(pose=pose, k=every, left=left, scaleX=fit.scale_x)
    y = kotlin(r"pose\.y\[k\] = (.*)")(pose=pose, k=every, top=top, scaleY=fit.scale_y)
    np.testing.assert_allclose(np.stack([x, y], 1), fit.to_source(points), atol=1e-9)


def test_outputs_are_asked_for_by_their_names():
    asked = set(re.findall(r'output\("(.*?)"\)', KOTLIN))
    raw = {name.replace("$stride", str(s)) for name in asked if "$" in name for s in STRIDES}
    assert raw == set(output_names("raw", STRIDES))
    assert {name for name in asked if "$" not in name} == set(output_names("compact", STRIDES))


def test_the_formulas_in_words_have_the_decoders_constants():
    (unit,) = re.findall(r"grid point \+ offset \* ([\d.]+) \* S", GUIDE)
    assert float(unit) == OFFSET_UNIT
    assert "((j + 0.5) * S, (i + 0.5) * S)" in GUIDE


def test_every_tflite_target_is_in_the_guide_with_its_contract():
    for profile in list_profiles():
        if profile.engine == "tflite":
            (line,) = [
                line for line in GUIDE.splitlines() if line.startswith(f"| `{profile.name}`")
            ]
            assert f"`{profile.contract}`" in line
            for precision in set(profile.precisions) - {"mixed"}:
                assert precision in line
                assert precision in tflite.PRECISIONS


def test_keys_of_the_side_car_that_the_app_and_the_table_name_exist():
    network = quantized_network(shallow(), shallow_policy())
    export = EngineExport(network, "int8", "raw", SIZE, 10, shallow_policy())
    said = json.loads(sidecar(export, []))
    inner = {key for part in said.values() if isinstance(part, dict) for key in part}
    known = {*said, *inner, *said["outputs"][0]}
    asked = set(re.findall(r'\.(?:get\w+|isNull)\("(\w+)"\)', KOTLIN))
    assert asked
    assert asked <= known
    for row in re.findall(r"^\| (`[a-z_.`, ]+) \|", GUIDE.split("## The side-car")[1], re.M):
        for path in re.findall(r"`([a-z_.]+)`", row):
            part = said
            for key in path.split("."):
                part = part[key]

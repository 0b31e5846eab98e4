"""Axes and marks of a chart."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.deploy.report.svg import STYLES, WIDTH, Axis, Plot

value = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 6))


@given(st.lists(value, min_size=1, max_size=20), st.booleans())
def test_an_axis_holds_all_values_and_has_a_few_round_ticks_within_it(values, zero):
    axis = Axis.over(values, "x", zero=zero)
    assert all(0 <= axis.part(v) <= 1 for v in values)
    assert not zero or 0 <= axis.part(0.0) <= 1
    ticks = [tick for tick, _ in axis.ticks()]
    assert 2 <= len(ticks) <= 7
    assert all(-1e-6 <= axis.part(tick) <= 1 + 1e-6 for tick in ticks)
    texts = [text for _, text in axis.ticks()]
    assert len(set(texts)) == len(texts)
    for tick, text in axis.ticks():
        assert abs(float(text) - tick) <= 1e-6 * max(1.0, abs(tick))


def test_greater_values_are_further_right_and_further_up():
    plot = Plot(Axis(0, 10, "x"), Axis(0, 1, "y"))
    assert plot.at_x(0) < plot.at_x(5) < plot.at_x(10) <= WIDTH
    assert plot.at_y(1) < plot.at_y(0)


def test_every_series_up_to_six_has_a_mark_of_its_own_form_and_all_are_well_formed():
    plot = Plot(Axis(0, 10, "x"), Axis(0, 1, "<y> & more"))
    for series in range(STYLES + 1):
        plot.dot(5, 0.5, series)
    root = ElementTree.fromstring(plot.svg("n", "a < b", "c & d"))
    marks = [part for part in root if part.get("class", "").startswith("mark")]
    forms = [part.get("d") for part in marks]
    assert len(set(forms)) == STYLES
    assert forms[0] == forms[STYLES]
    assert root[0].text == "a < b"


def test_words_that_do_not_fit_are_shortened():
    plot = Plot(Axis(0, 1, "x"), None)
    plot.text(0, 10, "a" * 200, room=100)
    assert "…</text>" in plot.svg("n", "t", "d")
    assert "a" * 20 not in plot.svg("n", "t", "d")

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.errors import ConfigError
from erpose_edge.quantization.observers import HistogramObserver

# Width of a histogram bin as a share of the largest value: at most 2 / 4096.
BIN = 2 / 4096


def observe(*batches):
    observer = HistogramObserver()
    for batch in batches:
        observer.add(torch.as_tensor(batch, dtype=torch.float32))
    return observer


def squared_error(values, limit):
    step = limit / 127
    rounded = np.clip(np.round(values / step), -127, 127) * step
    return np.square(rounded - values).mean()


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=50))
def test_minmax_keeps_the_largest_absolute_value(values):
    expected = max(abs(v) for v in values)
    assert observe(values).choose_limit("minmax") == pytest.approx(expected)


def test_percentile_leaves_that_share_outside():
    values = np.random.default_rng(0).exponential(size=200_000)
    limit = observe(values).choose_limit("percentile", 99.0)
    assert limit == pytest.approx(np.percentile(values, 99.0), abs=2 * BIN * values.max())


def test_mse_has_less_error_than_every_fixed_share_of_the_range():
    values = np.random.default_rng(0).standard_t(3, 100_000).astype(np.float32)
    limit = observe(values).choose_limit("mse")
    for share in np.linspace(0.1, 1, 46):
        other = squared_error(values, share * np.abs(values).max())
        assert squared_error(values, limit) <= other * 1.02  # bins are coarse


def test_order_of_batches_does_not_matter():
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=1000) * scale for scale in (0.1, 10, 1)]
    limits = {
        observe(*order).choose_limit("mse")
        for order in (batches, batches[::-1], batches[1:] + batches[:1])
    }
    assert max(limits) - min(limits) < 0.02 * max(limits)


def test_zeros_have_no_range():
    for method in ("minmax", "percentile", "mse"):
        assert observe(np.zeros(10)).choose_limit(method) == 0


def test_mean_peak_is_over_batches():
    assert observe([1.0, -3.0], [2.0]).mean_peak == pytest.approx(2.5)


def test_nothing_observed_is_an_error():
    with pytest.raises(ConfigError, match="expected at least one image, got none"):
        HistogramObserver().choose_limit("minmax")


def test_broken_network_is_an_error():
    with pytest.raises(ConfigError, match="expected finite activations, got nan"):
        observe([1.0, float("nan")])


def test_unknown_method_is_an_error():
    with pytest.raises(ConfigError, match="expected one of minmax, percentile, mse, got 'entropy'"):
        observe([1.0]).choose_limit("entropy")

"""Fits recover laws that are known, and say how sure they are."""

import json
import math

import numpy as np
import pytest

from benchmarks.laws import Growth, Law, fitted, fitted_exponent, growth_table, shown_bytes, shown_seconds

XS = (10.0, 100.0, 1000.0, 10_000.0)


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_a_fit_recovers_constant_and_factor_over_decades(exponent: float) -> None:
    law = Law(3.0, 0.5, exponent)
    ys = [law.at(x) for x in XS]
    found = fitted(XS, ys, exponent)
    assert (found.constant, found.factor) == (pytest.approx(3.0), pytest.approx(0.5))
    assert found.largest_error(XS, ys) < 1e-9
    assert found.at(1e6) == pytest.approx(3 + 0.5 * 1e6**exponent)


def test_columns_of_very_different_size_are_fitted_alike() -> None:
    xs = [1e9, 4e9, 9e9]
    found = fitted(xs, [2e-3 + 1e-11 * x for x in xs])
    assert (found.constant, found.factor) == (pytest.approx(2e-3), pytest.approx(1e-11))


def test_errors_are_relative_so_small_points_count_as_much_as_large_ones() -> None:
    xs, ys = [1.0, 10.0, 100.0, 1000.0], [1.0, 10.0, 100.0, 1500.0]
    slope, constant = np.polyfit(xs, ys, 1)  # least squares of absolute errors: the large point decides
    assert Law(constant, slope).largest_error(xs, ys) > 10
    assert fitted(xs, ys).largest_error(xs, ys) < 0.4


def test_a_power_is_recovered_with_its_standard_error() -> None:
    assert fitted_exponent(XS, [7 * x**1.5 for x in XS]) == (pytest.approx(1.5), pytest.approx(0, abs=1e-9))
    # By hand: log x = -1, 0, 1 (base e), log y = -1, e, 1: slope 1, residuals -e/3, 2e/3, -e/3.
    noise = 0.3
    power, error = fitted_exponent([math.exp(-1), 1.0, math.exp(1)], [math.exp(-1), math.exp(noise), math.exp(1)])
    assert power == pytest.approx(1.0)
    assert error == pytest.approx(math.sqrt((6 / 9) * noise**2 / 1 / 2))


def test_two_points_have_no_standard_error() -> None:
    power, error = fitted_exponent([1.0, 2.0], [3.0, 12.0])
    assert power == pytest.approx(2.0) and math.isnan(error)
    assert json.dumps(Growth("a", "b", "s", [(1.0, 3.0), (2.0, 12.0)]).to_plain(), allow_nan=False)


@pytest.mark.parametrize(
    ("xs", "ys"), [([1.0], [1.0]), ([2.0, 2.0], [1.0, 2.0]), ([1.0, 2.0], [1.0]), ([1, 2], [1, 0])]
)
def test_what_cannot_be_fitted_is_refused(xs: list[float], ys: list[float]) -> None:
    with pytest.raises(ValueError, match=r"required|above 0"):
        fitted(xs, ys)


def test_a_power_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        fitted_exponent([0.0, 1.0], [1.0, 2.0])


def test_the_table_holds_points_law_error_and_power() -> None:
    growth = Growth("step", "side, px", "s", [(64, 1.0 + 4.096), (128, 1.0 + 16.384), (256, 1.0 + 65.536)], 2.0)
    table = growth_table([growth])
    assert "| step, s | side, px | 64: 5.1, 128: 17.4, 256: 66.5 | 1 + 0.001 x^2 | 0% | x^1.85 ± " in table
    assert growth.beyond(1024) == 4


def test_amounts_are_shown_in_units_people_read() -> None:
    assert [shown_bytes(number) for number in (12, 1536, 1.2e9, 6e12)] == ["12 B", "1.54 kB", "1.2 GB", "6 TB"]
    assert [shown_seconds(number) for number in (0.02, 90, 7200, 2 * 86_400)] == ["0.02 s", "1.5 min", "2 h", "2 days"]

"""Simple laws fitted to measured points: how something grows, how far off the law is, and what it says beyond them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

UNITS = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}  # decimal, as disks are sold
TIMES = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86_400.0, "years": 365.25 * 86_400.0}


@dataclass(frozen=True)
class Law:
    """`constant` + `factor` * x ** `exponent`."""

    constant: float
    factor: float
    exponent: float = 1.0

    def at(self, x: float) -> float:
        return float(self.constant + self.factor * x**self.exponent)

    def largest_error(self, xs: Sequence[float], ys: Sequence[float]) -> float:
        """Of the law at these points, in parts of what was measured."""
        return max(abs(self.at(x) / y - 1) for x, y in zip(xs, ys, strict=True))

    def text(self) -> str:
        power = "" if self.exponent == 1 else f"^{self.exponent:g}"
        return f"{self.constant:.3g} {'-' if self.factor < 0 else '+'} {abs(self.factor):.3g} x{power}"


def fitted(xs: Sequence[float], ys: Sequence[float], exponent: float = 1.0) -> Law:
    """The constant and the factor with the least squares of relative errors.

    Points reach over decades: with absolute errors the largest would decide alone. Raises ValueError for fewer than two
    different x, and for a y that is not above 0.
    """
    _require_points(xs, ys, 2)
    measured = np.asarray(ys, float)
    columns = np.stack([1 / measured, np.asarray(xs, float) ** exponent / measured], axis=1)
    scale = np.linalg.norm(columns, axis=0)  # one column may be 10^12 times the other
    (constant, factor), *_ = np.linalg.lstsq(columns / scale, np.ones(len(measured)), rcond=None)
    return Law(float(constant / scale[0]), float(factor / scale[1]), exponent)


def fitted_exponent(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """p of c * x ** p by least squares of logarithms, and its standard error, which is NaN for two points.

    Raises ValueError as `fitted` does, and for an x that is not above 0.
    """
    _require_points(xs, ys, 2)
    if min(xs) <= 0:
        raise ValueError(f"x = {min(xs)}: a power needs every x above 0")
    x, y = np.log(np.asarray(xs, float)), np.log(np.asarray(ys, float))
    x -= x.mean()
    exponent = float(x @ y / (x @ x))
    residuals = y - y.mean() - exponent * x
    degrees = len(x) - 2
    error = math.sqrt(float(residuals @ residuals) / degrees / float(x @ x)) if degrees else math.nan
    return exponent, error


def _require_points(xs: Sequence[float], ys: Sequence[float], number: int) -> None:
    if len(xs) != len(ys) or len(set(xs)) < number:
        raise ValueError(f"{len(set(xs))} different x, {len(xs)} x and {len(ys)} y: {number} points are required")
    if min(ys) <= 0:
        raise ValueError(f"y = {min(ys)}: relative errors need every y above 0")


@dataclass(frozen=True)
class Growth:
    """Points (x, y) in the order of x, and the exponent of the law that is expected of them. `unit` is that of y."""

    name: str
    x_name: str
    unit: str
    points: Sequence[tuple[float, float]]
    exponent: float = 1.0

    @property
    def xs(self) -> list[float]:
        return [x for x, _ in self.points]

    @property
    def ys(self) -> list[float]:
        return [y for _, y in self.points]

    @property
    def law(self) -> Law:
        return fitted(self.xs, self.ys, self.exponent)

    @property
    def largest_error(self) -> float:
        return self.law.largest_error(self.xs, self.ys)

    def beyond(self, x: float) -> float:
        """How many times the largest measured x this is."""
        return x / max(self.xs)

    def to_plain(self) -> dict[str, Any]:
        """NaN, a standard error of two points, becomes None: JSON has none."""
        power, error = fitted_exponent(self.xs, self.ys)
        law = self.law
        return {
            "name": self.name,
            "x": self.x_name,
            "unit": self.unit,
            "points": [list(point) for point in self.points],
            "law": {"constant": law.constant, "factor": law.factor, "exponent": law.exponent},
            "largest_relative_error": self.largest_error,
            "power": power,
            "power_standard_error": None if math.isnan(error) else error,
        }


def growth_table(growths: Sequence[Growth]) -> str:
    """In Markdown: the points, the law, its largest relative error, and the power that fits them alone."""
    head = ("", "x", "x: measured", "law", "off by at most", "grows as")
    lines = [head, ("---",) * len(head), *map(_cells, growths)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(growth: Growth) -> tuple[str, ...]:
    power, error = fitted_exponent(growth.xs, growth.ys)
    grows = f"x^{power:.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}")
    points = ", ".join(f"{x:g}: {y:.3g}" for x, y in growth.points)
    return (
        f"{growth.name}, {growth.unit}", growth.x_name, points, growth.law.text(), f"{growth.largest_error:.0%}", grows
    )  # fmt: skip


def shown_bytes(number: float) -> str:
    """In the largest decimal unit of which there is at least one."""
    return _shown(number, UNITS)


def shown_seconds(number: float) -> str:
    """In seconds, minutes, hours, days or years."""
    return _shown(number, TIMES)


def _shown(number: float, units: dict[str, float]) -> str:
    name = next((name for name, size in reversed(units.items()) if number >= size), next(iter(units)))
    return f"{number / units[name]:.3g} {name}"

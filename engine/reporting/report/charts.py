"""Line charts as numbers for an SVG: one scale for all lines, few ticks, the same place for the same run."""

from collections.abc import Mapping, Sequence

from matplotlib.ticker import MaxNLocator

from engine.reporting.report.events import Point, thinned
from engine.reporting.report.parts import Chart, Line, Tick

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 348, 18, 196  # of the plane within the chart
MOST_POINTS = 240  # of a line
MOST_DOTS = 24  # a line with more points has no dots


def line_chart(
    title: str,
    unit: str,
    lines: Mapping[str, Sequence[Point]],
    stage_starts: Mapping[str, int],
    *,
    from_zero: bool,
) -> Chart | None:
    """Values over the step; None where no line has a point. `lines` by the name of their run, in the runs' order."""
    known = {name: thinned(points, MOST_POINTS) for name, points in lines.items() if points}
    if not known:
        return None
    xs = [point.step for points in known.values() for point in points]
    ys = [point.value for points in known.values() for point in points]
    x_scale, y_scale = _Scale(xs, LEFT, RIGHT), _Scale([*ys, *[0.0] * from_zero], BOTTOM, TOP)
    numbers = {name: number for number, name in enumerate(lines)}
    return Chart(
        title,
        unit,
        _description(title, unit, known),
        [_line(numbers[name], points, x_scale, y_scale) for name, points in known.items()],
        [Tick(x_scale.place(value), _step_label(value)) for value in x_scale.ticks],
        [Tick(y_scale.place(value), f"{value:.6g}") for value in y_scale.ticks],
        [Tick(x_scale.place(step), stage) for stage, step in stage_starts.items() if x_scale.holds(step)],
    )


class _Scale:
    """From values to places in the chart; it ends with ticks."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        if low == high:
            low, high = (low, low + 1) if low == 0 else (min(low, 0), max(high, 0))
        self.ticks = [float(tick) for tick in MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
        self._low, self._high, self._start, self._end = self.ticks[0], self.ticks[-1], start, end

    def holds(self, value: float) -> bool:
        return self._low <= value <= self._high

    def place(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)


def _line(number: int, points: Sequence[Point], x_scale: _Scale, y_scale: _Scale) -> Line:
    places = [(x_scale.place(point.step), y_scale.place(point.value)) for point in points]
    text = " ".join(f"{x:g},{y:g}" for x, y in places)
    return Line(number, text, places if len(places) <= MOST_DOTS else [])


def _description(title: str, unit: str, lines: Mapping[str, Sequence[Point]]) -> str:
    parts = [
        f"{name}: from {points[0].value:.4g} at step {points[0].step} to {points[-1].value:.4g} at step "
        f"{points[-1].step}, least {min(point.value for point in points):.4g}, most "
        f"{max(point.value for point in points):.4g}"
        for name, points in lines.items()
    ]
    return f"{title}{unit and f', {unit}'} over the step. {'; '.join(parts)}"


def _step_label(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"

"""How much of a stage's steps went into waiting for images, and what helps."""

from dataclasses import dataclass
from typing import Any

WORTH_SAYING = 0.05  # of the steps' time


@dataclass
class Waiting:
    """Sums over the steps of one sitting, in seconds."""

    steps_s: float = 0.0
    waited_s: float = 0.0

    def add(self, took_s: float, waited_s: float) -> None:
        self.steps_s += took_s
        self.waited_s += waited_s

    def line(self, stage: str, settings: dict[str, Any]) -> str:
        """For people, of a stage of these settings; empty where it is not worth saying."""
        if not self.steps_s or self.waited_s < WORTH_SAYING * self.steps_s:
            return ""
        advice = [f"runtime.workers, now {settings['runtime']['workers']}, reads in more processes"]
        if not settings["cache"]["images"]:
            advice.append("cache.images=true decodes and resizes every image once for all epochs and runs")
        share = self.waited_s / self.steps_s
        return f"{stage}: {share:.0%} of the steps' time was spent waiting for images; {'; '.join(advice)}"

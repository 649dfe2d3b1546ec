"""The memory that a stage will take, said before its first step; where it is more than there is, what would fit."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from assembly.feed import Feed
from configs.schema import StageConfig, ValidationConfig
from engine.evaluation.answers import BAND_ELEMENTS
from engine.evaluation.blocks import LARGEST_BLOCK_PX
from engine.evaluation.inference import round_up
from engine.memory import available_bytes, taken_bytes
from engine.runtime import Runtime
from models import geometry
from models.cost import FLOAT_BYTES
from models.layers import frontend_layers
from models.memory import Setting, StageMemory, scoring_memory, stage_memory

MIB = 2**20
LIBRARIES = 55 * MIB  # code and buffers that become resident with a CPU's first step; measured, benchmarks/memory.py
SCORING_GAPS = 0.5  # of what scoring takes, in the heap of a CPU; measured, benchmarks/memory.py
BANDS = 3  # of the probabilities at pixels: interpolated along one axis, along both, and of another view


@dataclass(frozen=True)
class Forecast:
    """Of one stage, in bytes. `taken` is what the process had when it was made, the network's weights included."""

    memory: StageMemory
    scoring: int  # at its largest moment, while the step before is still there
    kept_maps: int  # files that become resident as they are read, and give way where memory is short
    libraries: int  # what they take as they begin to compute
    taken: int

    @property
    def to_come(self) -> int:
        """What cannot give way."""
        return max(self.memory.to_come, self.scoring) + self.libraries

    @property
    def peak(self) -> int:
        return self.taken + self.to_come + self.kept_maps

    def line(self) -> str:
        memory = self.memory
        parts = {
            "optimizer": memory.optimizer,
            "gradients": memory.gradients,
            "activations": memory.activations,
            "inputs": memory.inputs,
            "working": memory.working + memory.gaps,
            "kept maps": self.kept_maps,
        }
        listed = ", ".join(f"{name} {_mib(part)}" for name, part in parts.items() if part)
        return (
            f"memory: about {_mib(self.peak)} MiB at most: {_mib(self.taken)} so far, weights {_mib(memory.weights)} "
            f"among them; training {_mib(memory.to_come + self.kept_maps)} more ({listed}), scoring "
            f"{_mib(self.scoring)} more, libraries {_mib(self.libraries)}"
        )


@dataclass(frozen=True)
class Forecaster:
    """Of the stages of one run on this machine, and what is there when a stage begins."""

    feed: Feed
    has_state: bool = False  # of the optimizer
    scored_after: int | None = 0  # which maps to score are on disk, see `Feed.scored_after`

    def lines(self, stage: str, settings: StageConfig, has_state: bool) -> Iterator[str]:
        """To be asked when a stage's network and, with `has_state`, its optimizer's state are in memory.

        A second line, where memory is short, is a warning.
        """
        runtime = self.feed.runtime
        there = replace(self, has_state=has_state, scored_after=self.feed.scored_after(stage, settings))
        taken, available = taken_bytes(runtime.device), available_bytes(runtime.device)
        forecast = there.forecast(stage, settings, taken or 0)
        yield forecast.line()
        if available is not None:
            available //= 1 if runtime.device.type == "cuda" else runtime.ranks.local_size
            if forecast.to_come > available:
                yield there._warning(stage, settings, forecast, available)

    def forecast(
        self, stage: str, settings: StageConfig, taken: int = 0, *, is_bfloat16: bool | None = None
    ) -> Forecast:
        """`is_bfloat16`: in another precision than the run's."""
        setting = self._setting(stage, settings, is_bfloat16)
        memory, scoring, is_on_cpu = stage_memory(setting), self._scoring(setting), setting.device == "cpu"
        if self.has_state:
            memory = replace(memory, optimizer=0)
        scoring += int(is_on_cpu * SCORING_GAPS * scoring)
        return Forecast(
            memory=memory,
            scoring=memory.optimizer + memory.inputs + memory.trained + scoring,
            kept_maps=self._kept_maps(setting),
            libraries=is_on_cpu * LIBRARIES,
            taken=taken,
        )

    def _setting(self, stage: str, settings: StageConfig, is_bfloat16: bool | None = None) -> Setting:
        runtime: Runtime = self.feed.runtime
        return Setting(
            model=self.feed.config.model,
            stage=settings,
            name=stage,
            num_classes=self.feed.train_set.classes.num_classes,
            images=max(1, settings.batch // (settings.accumulation * runtime.ranks.size)),
            is_bfloat16=runtime.precision == "bfloat16" if is_bfloat16 is None else is_bfloat16,
            device="cuda" if runtime.device.type == "cuda" else "cpu",
        )

    def _kept_maps(self, setting: Setting) -> int:
        """On a CPU, of the files of kept maps what the stage reads at most."""
        if setting.stage.maps == "computed" or setting.device == "cuda":
            return 0
        read = setting.stage.steps * stage_memory(setting).inputs
        return min(self.feed.kept_map_bytes(setting.name, setting.stage), read)

    def _scoring(self, setting: Setting) -> int:
        """Of the image that takes most: the network, then probabilities at the pixels, a band at a time."""
        config = self.feed.config.validation
        setting = replace(setting, images=config.batch)
        if config.protocol == "authors":
            setting = replace(setting, is_bfloat16=False)
        return max((self._scoring_of(setting, config, size_px) for size_px in set(self.feed.val_sizes)), default=0)

    def _scoring_of(self, setting: Setting, config: ValidationConfig, size_px: tuple[int, int]) -> int:
        layers = frontend_layers(setting.model.frontend, setting.model.padding)
        margin, stride = geometry.margin(layers), geometry.stride(layers)
        window_px = [round_up(round(side * max(config.scales)), stride) + 2 * margin for side in size_px]
        if config.protocol != "whole":
            tile_px = [round_up(side, stride) + 2 * margin for side in config.tile_px]
            window_px = tile_px if config.protocol == "authors" else list(map(min, window_px, tile_px))
        if math.prod(window_px) > LARGEST_BLOCK_PX:  # what the context module takes of the whole map is far less
            window_px = [math.isqrt(LARGEST_BLOCK_PX)] * 2
        pixels = setting.images * setting.num_classes * math.prod(size_px)
        return scoring_memory(setting, window_px, self.scored_after) + BANDS * min(BAND_ELEMENTS, pixels) * FLOAT_BYTES

    def _warning(self, stage: str, settings: StageConfig, forecast: Forecast, available: int) -> str:
        needs = (
            f"warning: the stage is expected to take {_mib(forecast.to_come)} MiB more, and {_mib(available)} are there"
        )
        if forecast.scoring > available:
            return (
                f"{needs}; scoring alone takes {_mib(forecast.scoring)}: lower validation.batch or validation.scales, "
                "or set validation.protocol=tiles with a smaller validation.tile_px"
            )
        fitting = list(self._fitting(stage, settings, lambda other: other.to_come <= available))
        if not fitting:
            return f"{needs}; no single change of accumulation, crop, precision or checkpoint_activations would fit"
        return f"{needs}; any of these fits: {', '.join(fitting)}"

    def _fitting(self, stage: str, settings: StageConfig, fits: Callable[[Forecast], bool]) -> Iterator[str]:
        """Settings, each of which alone is enough; of micro-batches and crops the largest."""
        key = f"stage.{stage}"

        def fits_with(**changes: object) -> bool:
            return fits(self.forecast(stage, settings.model_copy(update=changes)))

        for accumulation in _divisors(settings.batch // self.feed.runtime.ranks.size):
            if accumulation > settings.accumulation and fits_with(accumulation=accumulation):
                yield f"{key}.accumulation={accumulation}"
                break
        if not settings.checkpoint_activations and fits_with(checkpoint_activations=True):
            yield f"{key}.checkpoint_activations=true"
        crop_px = next((crop for crop in self._smaller_crops(stage, settings) if fits_with(crop_px=crop)), None)
        if crop_px is not None:
            yield f"'{key}.crop_px=[{crop_px[0]},{crop_px[1]}]'"
        if self.feed.runtime.precision == "float32" and fits(self.forecast(stage, settings, is_bfloat16=True)):
            yield "runtime.precision=bfloat16"

    def _smaller_crops(self, stage: str, settings: StageConfig) -> Iterator[list[int]]:
        """Of about the same shape, from the largest on; kept class maps are of whole images, which no crop may cut."""
        if stage == "context" and settings.maps == "cached":
            return
        height, width = settings.crop_px
        step = geometry.stride(frontend_layers(self.feed.config.model.frontend, self.feed.config.model.padding))
        for smaller in range(height - step, 0, -step):
            yield [smaller, max(step, width * smaller // height // step * step)]


def _divisors(number: int) -> Sequence[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / MIB:,.0f}"

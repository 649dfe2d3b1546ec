"""What training and scoring take of memory at their largest moment, in bytes. Arithmetic on the layer tables.

A step is walked through layer by layer, forward and backward, as torch does it: what autograd keeps, what it lets go
again, and what a layer needs while it computes. The largest sum on the way is the peak.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Literal

from configs.schema import ModelConfig, OptimizerConfig, StageConfig
from models import geometry, minimal_filtering
from models.convolution import goes_tap_by_tap
from models.cost import FLOAT_BYTES, INDEX_BYTES, map_cells
from models.geometry import Layer
from models.layers import DROPOUT_LAYERS, NUM_COLOURS, context_layers, frontend_layers, layers_of_blocks

DeviceKind = Literal["cpu", "cuda"]

BFLOAT16_BYTES = 2
TARGET_BYTES = 8  # int64
WITHOUT_RELU = ("final", "ctx_final")
# Of blocks that come and go: a heap has gaps between them after a few steps. Measured on CPUs, benchmarks/memory.py.
HEAP_GAPS = 0.5


@dataclass(frozen=True)
class Setting:
    """All that the memory of a stage's step depends on. `images` is the micro-batch of one process."""

    model: ModelConfig
    stage: StageConfig
    name: str  # of the stage
    num_classes: int
    images: int
    is_bfloat16: bool
    device: DeviceKind

    @property
    def value_bytes(self) -> int:
        """Of a value of the maps."""
        return BFLOAT16_BYTES if self.is_bfloat16 else FLOAT_BYTES

    @property
    def trains_frontend(self) -> bool:
        return self.name != "context"

    @property
    def has_context(self) -> bool:
        return self.name != "frontend"

    @property
    def learns_after(self) -> int | None:
        """What a step begins with: images (0), the maps after so many blocks, or class maps (None)."""
        if self.stage.maps == "computed":
            return 0
        return self.stage.frozen_blocks if self.trains_frontend else None


@dataclass(frozen=True)
class StageMemory:
    """The largest moment of a stage's steps, in bytes. `weights` are those of the whole network, trained or not."""

    weights: int
    optimizer: int
    inputs: int  # images or kept maps, labels and targets of a step
    gradients: int  # that exist at that moment
    trained: int  # weights that learn, which is what all gradients take between two steps
    activations: int  # what the backward pass still needs then, casts of weights included
    working: int  # of what is being computed
    gaps: int  # of the heap on a CPU, between blocks of many sizes that come and go

    @property
    def to_come(self) -> int:
        """What a process takes beside a network that it has already."""
        return self.optimizer + self.inputs + self.gradients + self.activations + self.working + self.gaps

    @property
    def total(self) -> int:
        return self.weights + self.to_come


@dataclass(frozen=True)
class _Moment:
    gradients: int
    activations: int
    working: int

    @property
    def total(self) -> int:
        return self.gradients + self.activations + self.working


@dataclass(frozen=True)
class _Step:
    """A layer with the ReLU and dropout behind it, in a micro-batch; everything in bytes."""

    input: int
    output: int
    indices: int  # of a pooling
    mask: int  # of dropout; 0: there is none
    has_relu: bool
    weight: int  # float32, bias included
    cast: int  # of the weight to bfloat16
    reordered: int  # a copy of the weight in the library's own order, while it computes
    answering: int  # what it takes instead where nothing learns
    to_weight: int  # what the gradient of the weight takes while it is computed, itself included
    learns: bool
    passes_on: bool  # layers before it learn, so the gradient goes on
    segment: int  # of layers that are computed again together, where activations are

    @property
    def has_gradient(self) -> bool:
        return self.learns or self.passes_on

    @property
    def dropped(self) -> int:
        """What dropout adds to the layer's own output: its mask, and what lay before it, which the ReLU keeps."""
        return self.output + self.mask if self.mask else 0

    @property
    def kept(self) -> int:
        """For the backward pass, before the next layer's input."""
        return self.input + self.cast + self.indices + self.dropped if self.has_gradient else 0

    @property
    def forward(self) -> int:
        """What appears while it computes."""
        return self.output + self.indices + self.dropped + self.cast + self.computing

    @property
    def computing(self) -> int:
        return self.reordered if self.has_gradient else self.answering

    @property
    def blocks(self) -> list[int]:
        """Of memory, that its kept values are."""
        return [self.input, self.indices, *([self.output, self.mask] if self.mask else [])] * self.has_gradient

    def backward(self) -> Iterator[tuple[int, int]]:
        """Moment by moment: what is still kept of it, and what is computed with."""
        kept = self.input + self.cast + self.indices
        if self.mask:
            yield kept + self.dropped, 2 * self.output
        if self.has_relu:  # its output is kept by the next layer or, with dropout, on its own
            yield kept + self.output, 2 * self.output
        yield kept, self.output + self.passes_on * self.input + (self.to_weight if self.learns else self.reordered)


def stage_memory(setting: Setting) -> StageMemory:
    """From the second step on: in the first the optimizer's state is still to come."""
    steps = _steps(setting, _input_px(setting), setting.learns_after)
    gradients = sum(step.weight for step in steps if step.learns)
    held = gradients if setting.stage.accumulation > 1 else 0  # of the passes before
    moments = [*_forward(setting, steps, held), *_backward(setting, steps, held), _update(steps)]
    largest = max(moments, key=lambda moment: moment.total)
    return StageMemory(
        weights=_weights(setting),
        optimizer=_states(setting.stage.optimizer) * gradients,
        inputs=_inputs(setting),
        gradients=largest.gradients,
        trained=gradients,
        activations=largest.activations,
        working=largest.working,
        gaps=_gaps(setting, steps),
    )


def scoring_memory(setting: Setting, window_px: Sequence[int], after_blocks: int | None = 0) -> int:
    """Bytes that answering `setting.images` windows of (height, width) px takes, margin included, beside the weights.

    That is the largest layer of those behind the maps that are read from disk, of so many blocks, None: of the front
    end; nothing is kept for a backward pass. What an optimizer and the gradients of the step before take comes on top.
    """
    steps = _steps(setting, window_px, after_blocks)
    casts = sum(step.cast for step in steps if step.learns)  # autocast keeps those of weights that learn
    return casts + max(step.input + step.output + step.indices + step.cast + step.answering for step in steps)


def _steps(setting: Setting, input_px: Sequence[int], after_blocks: int | None) -> list[_Step]:
    """From what the network is fed with to its class maps; `input_px` is the image's size, margin included."""
    skipped = _skipped(setting, after_blocks)
    layers = _frontend_layers(setting)[len(skipped) :]
    if setting.has_context:
        layers += _context_layers(setting)
    size = [geometry.out_size(skipped, pixels) for pixels in input_px]
    return _walk(setting, layers, skipped[-1].out_channels if skipped else NUM_COLOURS, size)


def _skipped(setting: Setting, after_blocks: int | None) -> Sequence[Layer]:
    """The layers whose maps are read from disk."""
    layers = frontend_layers(setting.model.frontend, setting.model.padding, setting.num_classes)
    return layers if after_blocks is None else layers_of_blocks(layers, after_blocks)


def _frontend_layers(setting: Setting) -> list[tuple[Layer, int]]:
    """Each with the number of its segment: the blocks, and all that follows them."""
    last = len(setting.model.frontend.depths) + 1
    layers = frontend_layers(setting.model.frontend, setting.model.padding, setting.num_classes)
    return [(layer, layer.block or last) for layer in layers]


def _context_layers(setting: Setting) -> list[tuple[Layer, int]]:
    segment = len(setting.model.frontend.depths) + 2
    return [(layer, segment) for layer in context_layers(setting.model.context, setting.num_classes)]


def _walk(setting: Setting, layers: Sequence[tuple[Layer, int]], in_channels: int, size: Sequence[int]) -> list[_Step]:
    """`in_channels` of the first layer's input, `size` (height, width) in its pixels or cells."""
    steps: list[_Step] = []
    value, passes_on = setting.value_bytes, False
    for layer, segment in layers:
        num_in, in_size = setting.images * in_channels * math.prod(size), size
        size = [geometry.out_size([layer], length) for length in size]
        num_out = setting.images * layer.out_channels * math.prod(size)
        learns = not layer.is_pooling and _learns(setting, layer)
        drops = layer.name in DROPOUT_LAYERS and setting.trains_frontend and setting.model.frontend.dropout > 0
        weights = 0 if layer.is_pooling else layer.out_channels * (layer.kernel**2 * in_channels + 1)
        weight, cast = weights * FLOAT_BYTES, weights * BFLOAT16_BYTES * setting.is_bfloat16
        reordered = (cast or weight) * (setting.device == "cpu")
        steps.append(
            _Step(
                input=num_in * value,
                output=num_out * value,
                indices=num_out * INDEX_BYTES if layer.is_pooling else 0,
                mask=num_out * (1 if setting.device == "cuda" else value) if drops else 0,
                has_relu=not layer.is_pooling and layer.name not in WITHOUT_RELU,
                weight=weight,
                cast=cast,
                reordered=reordered,
                answering=_answering(setting, layer, in_channels, in_size) or reordered,
                to_weight=_to_weight(setting, layer, weights, in_channels, num_in * value),
                learns=learns,
                passes_on=passes_on,
                segment=segment,
            )
        )
        passes_on, in_channels = passes_on or learns, layer.out_channels
    return steps


def _answering(setting: Setting, layer: Layer, in_channels: int, in_size: Sequence[int]) -> int:
    """What a convolution by fewer products takes while it computes; 0: it is the library's."""
    if setting.is_bfloat16 or setting.device == "cuda" or layer.is_pooling:
        return 0
    if not minimal_filtering.pays(layer, in_channels, setting.images, in_size):
        return 0
    return minimal_filtering.working_bytes(layer, in_channels, setting.images, in_size[1])


def _to_weight(setting: Setting, layer: Layer, weights: int, in_channels: int, input: int) -> int:
    """oneDNN makes it in an order of its own, in ours, and channels last; tap by tap it is made at once."""
    of_gradient = weights * setting.value_bytes
    if setting.device == "cuda":
        return weights * FLOAT_BYTES + of_gradient * setting.is_bfloat16
    if goes_tap_by_tap(weights, in_channels, layer.dilation, setting.is_bfloat16):
        return weights * FLOAT_BYTES + of_gradient * setting.is_bfloat16 + input
    return 3 * of_gradient


def _learns(setting: Setting, layer: Layer) -> bool:
    if layer.name.startswith("ctx"):
        return True
    return setting.trains_frontend and not 1 <= layer.block <= setting.stage.frozen_blocks


def _forward(setting: Setting, steps: Sequence[_Step], held: int) -> Iterator[_Moment]:
    """Layer after layer, then the loss and the first of its backward pass, where log-softmax and two gradients lie."""
    kept, checkpoints = _uncast(setting, steps), setting.stage.checkpoint_activations
    for before, step in zip([None, *steps], steps, strict=False):
        begins = before is None or before.segment != step.segment
        fed = 0 if step.has_gradient else steps[0].input // setting.value_bytes * FLOAT_BYTES  # is held by its caller
        yield _Moment(held, kept + fed, step.input + step.forward)
        if not checkpoints:
            kept += step.kept
        elif step.has_gradient:
            kept += step.cast + begins * step.input
    kept -= sum(step.cast for step in steps if step.has_gradient) if checkpoints else 0  # autocast lets its casts go
    logits = steps[-1].output
    yield _Moment(held, kept, logits + 3 * _loss_values(setting) * FLOAT_BYTES)


def _backward(setting: Setting, steps: Sequence[_Step], held: int) -> Iterator[_Moment]:
    gradients = 0
    segments = [list(group) for _, group in groupby(steps, lambda step: step.segment)]
    if not setting.stage.checkpoint_activations:
        segments = [list(steps)]
    inputs = [segment[0].input if segment[0].has_gradient else 0 for segment in segments]
    before = list(accumulate(inputs, initial=_uncast(setting, steps)))[: len(segments)]
    for segment, kept_before in reversed(list(zip(segments, before, strict=True))):
        kept = list(accumulate((step.kept for step in segment), initial=kept_before))
        for step, kept_of_others in reversed(list(zip(segment, kept, strict=False))):
            if not step.has_gradient:
                return
            for own, working in step.backward():
                yield _Moment(max(gradients, held), kept_of_others + own, working)
            gradients += step.learns * step.weight


def _uncast(setting: Setting, steps: Sequence[_Step]) -> int:
    """The network's input in float32, from which autocast begins again where activations are computed again."""
    is_needed = setting.stage.checkpoint_activations and setting.is_bfloat16 and steps[0].has_gradient
    return steps[0].input // BFLOAT16_BYTES * FLOAT_BYTES if is_needed else 0


def _update(steps: Sequence[_Step]) -> _Moment:
    """All gradients are there, and nothing of the network's passes; the optimizers' own kernels need no copies."""
    return _Moment(sum(step.weight for step in steps if step.learns), 0, 0)


def _gaps(setting: Setting, steps: Sequence[_Step]) -> int:
    if setting.device == "cuda":
        return 0
    blocks = [block for step in steps for block in step.blocks]
    blocks += [step.weight for step in steps if step.learns]  # the gradient; the optimizer's state stays
    return int(HEAP_GAPS * sum(blocks))


def _states(optimizer: OptimizerConfig) -> int:
    """Values that the optimizer keeps of every weight that learns."""
    averages = int(optimizer.ema_decay > 0)
    if optimizer.name == "adamw":
        return 2 + averages
    return averages + int(optimizer.momentum_form == "caffe" or optimizer.momentum > 0)


def _weights(setting: Setting) -> int:
    layers = [layer for layer, _ in _frontend_layers(setting)]
    parts = [(layers, NUM_COLOURS)]
    if setting.has_context:
        parts.append(([layer for layer, _ in _context_layers(setting)], setting.num_classes))
    total = 0
    for part, in_channels in parts:
        for layer in part:
            total += 0 if layer.is_pooling else layer.out_channels * (layer.kernel**2 * in_channels + 1)
            in_channels = layer.out_channels
    return total * FLOAT_BYTES


def _inputs(setting: Setting) -> int:
    """Of a CPU all passes of a step, of a GPU the images of one, and the targets of all."""
    passes = setting.stage.accumulation
    size_px = _input_px(setting)
    skipped = _skipped(setting, setting.learns_after)
    if skipped:
        cells = math.prod(geometry.out_size(skipped, pixels) for pixels in size_px)
        of_value = FLOAT_BYTES if setting.learns_after is None else setting.value_bytes
        of_image = skipped[-1].out_channels * cells * of_value
    else:
        of_image = NUM_COLOURS * math.prod(size_px)
    num_images = setting.images * (1 if setting.device == "cuda" else passes)
    targets = math.prod(setting.stage.crop_px)
    labels = targets * setting.images * passes
    if setting.stage.loss.grid == "cells":
        targets = math.prod(map_cells(setting.model, setting.stage.crop_px))
    return num_images * of_image + labels + setting.images * passes * targets * TARGET_BYTES


def _loss_values(setting: Setting) -> int:
    crop_px, on_pixels = setting.stage.crop_px, setting.stage.loss.grid == "pixels"
    sides = crop_px if on_pixels else map_cells(setting.model, crop_px)
    return setting.images * setting.num_classes * math.prod(sides)


def _input_px(setting: Setting) -> list[int]:
    """Height and width of the crop with its margin."""
    margin = geometry.margin(frontend_layers(setting.model.frontend, setting.model.padding))
    return [pixels + 2 * margin for pixels in setting.stage.crop_px]

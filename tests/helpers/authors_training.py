"""The authors' network and training by brute force: numpy and loops, the gradients written out.

Nothing of ours and no autograd, so that a training of ours can be compared with it. The network is `tiny_frontend` with
a context module of dilations 1 and 2.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOID = 255
Array = NDArray[Any]
Backward = Callable[[Array], Array]  # the gradient of an output -> that of the input

FRONTEND = ["conv1_1", "pool", "conv2_1", "pool", "conv3_1", "pool", "conv4_1", "fc6", "fc7", "final"]
CONTEXT = ["ctx_conv1", "ctx_conv2", "ctx_final"]
DILATIONS = {"conv4_1": 2, "fc6": 2, "ctx_conv2": 2}


@dataclass
class Authors:
    """Weights by name, their gradients of a batch and their velocities, all float64."""

    weights: dict[str, Array]
    momentum: float
    decay: float
    margin_px: int
    mean_rgb: tuple[float, float, float]  # what the input is normalized with
    scale: float
    gradients: dict[str, Array] = field(default_factory=dict)
    velocities: dict[str, Array] = field(default_factory=dict)

    def maps(self, image_HW3: Array) -> tuple[Array, list[Backward]]:
        padded = np.pad(image_HW3, ((self.margin_px,) * 2, (self.margin_px,) * 2, (0, 0)), mode="reflect")
        normalized = ((padded.astype(np.float64) - self.mean_rgb) * self.scale).transpose(2, 0, 1)
        return self.forward("frontend", FRONTEND, normalized, zeros=False)

    def context(self, maps: Array) -> tuple[Array, list[Backward]]:
        return self.forward("context", CONTEXT, maps, zeros=True)

    def forward(self, part: str, layers: list[str], x: Array, zeros: bool) -> tuple[Array, list[Backward]]:
        """The output, and the backward function of every layer, the last layer's first."""
        backwards: list[Backward] = []
        for layer in layers:
            x, backward = pooled(x) if layer == "pool" else self.convolved(f"{part}.{layer}", x, zeros)
            backwards.insert(0, backward)
        return x, backwards

    def convolved(self, name: str, x: Array, zeros: bool) -> tuple[Array, Backward]:
        """With zeros as far as the kernel reaches, or none; ReLU after all layers but the two final ones."""
        w, b = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        size, dilation, relu = w.shape[-1], DILATIONS.get(name.partition(".")[2], 1), not name.endswith("final")
        edge = dilation * (size // 2) if zeros else 0
        x = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
        height, width = (side - dilation * (size - 1) for side in x.shape[1:])
        taps = [
            (r, c, np.s_[:, r * dilation : r * dilation + height, c * dilation : c * dilation + width])
            for r in range(size)
            for c in range(size)
        ]
        y = b[:, None, None] + sum(np.tensordot(w[:, :, r, c], x[window], 1) for r, c, window in taps)
        y = np.maximum(y, 0) if relu else y

        def backward(g: Array) -> Array:
            g = g * (y > 0) if relu else g
            x_gradient, w_gradient = np.zeros_like(x), np.zeros_like(w)
            for r, c, window in taps:
                w_gradient[:, :, r, c] = np.tensordot(g, x[window], ((1, 2), (1, 2)))
                x_gradient[window] += np.tensordot(w[:, :, r, c].T, g, 1)
            self.gradients[f"{name}.weight"] = self.gradients.get(f"{name}.weight", 0) + w_gradient
            self.gradients[f"{name}.bias"] = self.gradients.get(f"{name}.bias", 0) + g.sum((1, 2))
            return x_gradient[:, edge : x.shape[1] - edge, edge : x.shape[2] - edge]

        return y, backward

    def step(self, samples: list[tuple[Array, list[Backward], Array]], lr: float) -> float:
        """One step over the whole batch of (logits, backward functions, labels under the cells); returns the loss."""
        self.gradients = {}
        count = max(1, sum(int((cells != VOID).sum()) for _, _, cells in samples))
        loss = 0.0
        for logits, backwards, cells in samples:
            g = np.zeros_like(logits)
            for i, j in np.argwhere(cells != VOID):
                exponentials = np.exp(logits[:, i, j] - logits[:, i, j].max())
                probabilities, truth = exponentials / exponentials.sum(), cells[i, j]
                loss -= np.log(probabilities[truth]) / count
                g[:, i, j] = probabilities / count
                g[truth, i, j] -= 1 / count
            for backward in backwards:
                g = backward(g)
        for name, gradient in self.gradients.items():
            rate, decay = (2 * lr, 0.0) if name.endswith(".bias") else (lr, self.decay)
            velocity = self.momentum * self.velocities.get(name, 0) + rate * (gradient + decay * self.weights[name])
            self.velocities[name], self.weights[name] = velocity, self.weights[name] - velocity
        return float(loss)


def pooled(x: Array) -> tuple[Array, Backward]:
    """The largest of 2x2, the output's size rounded up."""
    channels, height, width = x.shape
    even = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=-np.inf)
    blocks = even.reshape(channels, even.shape[1] // 2, 2, even.shape[2] // 2, 2).swapaxes(2, 3)
    flat = blocks.reshape(*blocks.shape[:3], 4)
    where = flat.argmax(-1)[..., None]

    def backward(g: Array) -> Array:
        spread = np.zeros_like(flat)
        np.put_along_axis(spread, where, g[..., None], -1)
        return spread.reshape(blocks.shape).swapaxes(2, 3).reshape(even.shape)[:, :height, :width]

    return np.take_along_axis(flat, where, -1)[..., 0], backward


def sampled(label_HW: Array) -> Array:
    """The labels at pixels 8i: what the cells are compared with."""
    height, width = label_HW.shape
    return np.array([[label_HW[8 * i, 8 * j] for j in range(width // 8)] for i in range(height // 8)])

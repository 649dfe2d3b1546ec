"""The identity filler of the context module (paper, equations 4 and 5)."""

import torch
from torch import Generator, Tensor


@torch.no_grad()
def identity_(weight_OIkk: Tensor, num_classes: int, noise_std: float, generator: Generator) -> None:
    """Fill a convolution so that it hands on its input, class by class.

    Outputs and inputs form `num_classes` contiguous groups. The centre tap between equal groups is set to C / c_out;
    all other taps get Gaussian noise of `noise_std`. Equation 4 (c_in = c_out = C) has gain 1; in equation 5 a value
    that was copied c_in / C times is summed up and shared out again, so the gain after a layer is C / c_out.
    """
    c_out, c_in, height, width = weight_OIkk.shape
    if c_out % num_classes or c_in % num_classes:
        raise ValueError(f"identity filler: {c_in} -> {c_out} channels are no multiples of {num_classes} classes")
    weight_OIkk.copy_(torch.randn(weight_OIkk.shape, generator=generator) * noise_std)
    group_of_output = torch.arange(c_out) // (c_out // num_classes)
    group_of_input = torch.arange(c_in) // (c_in // num_classes)
    same_group_OI = group_of_output[:, None] == group_of_input[None, :]
    centre_OI = weight_OIkk[:, :, height // 2, width // 2]
    centre_OI[same_group_OI] = num_classes / c_out

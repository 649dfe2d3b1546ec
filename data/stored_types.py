"""Tensors as numpy arrays and back, bfloat16 included, which numpy does not know: its bits lie there as integers."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.errors import UserError

STORED: dict[torch.dtype, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bfloat16: np.uint16,
}


def to_stored(tensor: Tensor, dtype: torch.dtype) -> NDArray[Any]:
    """Raises UserError where values are too large for float16."""
    kept = tensor.to(dtype).contiguous().cpu()
    if dtype == torch.float16 and not bool(kept.isfinite().all()):
        raise UserError(
            f"cache.precision=float16: maps with values up to {float(tensor.abs().max()):.3g} do not fit, 65504 is the "
            "largest there; set cache.precision=bfloat16"
        )
    return np.asarray((kept.view(torch.uint16) if dtype == torch.bfloat16 else kept).numpy())


def from_stored(array: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor

"""The random numbers of a stage: its seed, and the generators' states in checkpoints."""

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor


def stage_seed(seed: int, stage: str) -> int:
    """A stage draws the same numbers whether it runs alone or after others."""
    return zlib.crc32(f"{seed}/{stage}".encode())


def random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device, gpu_seed: int) -> None:
    """`gpu_seed` seeds a GPU's generators where the run began on a CPU and so has no state of them."""
    torch.set_rng_state(state["torch"])
    if device.type != "cuda":
        return
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
    else:  # `check_same_run` has warned that bits may differ
        torch.cuda.manual_seed_all(gpu_seed)

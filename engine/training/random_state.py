"""The random numbers of a stage: its seed, and the generators' states in checkpoints."""

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

from engine.runtime import Runtime


def stage_seed(seed: int, stage: str) -> int:
    """A stage draws the same numbers whether it runs alone or after others."""
    return zlib.crc32(f"{seed}/{stage}".encode())


def random_state(runtime: Runtime) -> dict[str, Tensor]:
    """The states of this process; under `torch_1` and so on those of the others, which draw other masks."""
    own = {"torch": torch.get_rng_state()}
    if runtime.device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state()
    first, *others = runtime.ranks.gather(own)
    return {
        **first,
        **{f"{name}_{rank}": state for rank, states in enumerate(others, 1) for name, state in states.items()},
    }


def restore_random_state(state: Mapping[str, Tensor], runtime: Runtime, seed: int) -> None:
    """`seed` is for generators that have no state, where a run began on a CPU, or with fewer processes."""
    rank = runtime.ranks.rank
    own = {name: state.get(f"{name}_{rank}" if rank else name) for name in ("torch", "cuda")}
    seed_of_rank = stage_seed(seed, f"rank {rank}") if rank else seed
    if own["torch"] is not None:
        torch.set_rng_state(own["torch"])
    else:
        torch.manual_seed(seed_of_rank)
    if runtime.device.type != "cuda":
        return
    if own["cuda"] is not None:
        torch.cuda.set_rng_state(own["cuda"])
    else:  # `check_same_run` has warned that bits may differ
        torch.cuda.manual_seed_all(seed_of_rank)

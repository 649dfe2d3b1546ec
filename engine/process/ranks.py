"""The processes of one command, as torchrun starts them: what they add up, hand to one another, and decide together.

Rank 0 has the voice and writes the files. Every method is called by all ranks in the same order, and does nothing where
there is one process alone.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from configs.errors import FAILED, INTERRUPTED, UserError
from engine.process.exits import SaidElsewhere, is_out_of_memory
from engine.process.parent import stopping_with_parent
from engine.process.stop import Stopped, StopRequest

T = TypeVar("T")

BUCKET_BYTES = 2**25  # of gradients that are added up in one call
# A rank may wait for another that saves, or for a run that trains the front end. That one has died, it is told at once.
PATIENCE = timedelta(days=7)
JOIN_PATIENCE = timedelta(minutes=10)  # between the first process and the last to be there
RESTARTS = "TORCHELASTIC_RESTART_COUNT"  # environment variable: how often torchrun has begun anew


class LostRankError(UserError):
    """Another process of this command has ended; what it had to say, it has said itself."""

    exit_code = FAILED


@dataclass(frozen=True)
class Ranks:
    """This process's number among those of the command, 0 to `size` - 1, and its number on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def add(self, *values: float) -> list[float]:
        """The sums over all ranks."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        with _peers():
            distributed.all_reduce(sums)
        return sums.tolist()

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """The sums of all gradients over all ranks, in place: the same bits on each."""
        if self.size == 1:
            return
        for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            with _peers():
                distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in their order; plain data and tensors on the CPU."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _peers():
            distributed.all_gather_object(values, value)
        return values

    def of_first(self, make: Callable[[], T]) -> T:
        """What rank 0 makes, handed to all; plain data and tensors on the CPU."""
        value = [make() if self.is_first else None]
        if self.size > 1:
            with _peers():
                distributed.broadcast_object_list(value, src=0)
        return value[0]  # type: ignore[return-value]

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors by those of rank 0."""
        for tensor in tensors if self.size > 1 else ():
            with _peers():
                distributed.broadcast(tensor.detach(), src=0)

    def agree(self, work: Callable[[], T]) -> T:
        """The result of `work`; where it was asked to stop on one rank, all raise Stopped when all are done."""
        if self.size == 1:
            return work()
        stopped: Stopped | None = None
        result: T | None = None
        try:
            result = work()
        except Stopped as error:
            stopped = error
        (num_stopped,) = self.add(stopped is not None)
        if num_stopped:
            reasons = self.gather(str(stopped) if stopped is not None else "")
            raise Stopped(next(filter(None, reasons))) from stopped
        return result  # type: ignore[return-value]

    def check(self, stop: StopRequest) -> None:
        """As `stop.check`, of all ranks together."""
        self.agree(stop.check)


ALONE = Ranks()


@contextmanager
def ranks_of_torchrun(stop: StopRequest | None = None) -> Iterator[Ranks]:
    """The ranks that torchrun's environment variables name; connected until the block ends.

    `stop` is what has this process stop in good order, if anything has.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size <= 1:
        yield ALONE
        return
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank % torch.cuda.device_count())  # too few of them: `choose_runtime` refuses
        backend = "cpu:gloo,cuda:nccl"
    store, rank, size = next(rendezvous("env://", timeout=JOIN_PATIENCE))
    # torchrun keeps its store over a restart, with the addresses of processes that are gone.
    store = PrefixStore(f"attempt {os.environ.get(RESTARTS, 0)}", store)
    voice = Voice(PrefixStore("voice", store))
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        with stopping_with_parent(stop or StopRequest()):
            yield Ranks(rank, size, local_rank, local_size)
    except Stopped:
        raise
    except (Exception, KeyboardInterrupt) as error:  # Ctrl-C in a terminal reaches all of them
        if not voice.may_say(error):
            interrupted = isinstance(error, KeyboardInterrupt)
            raise SaidElsewhere(INTERRUPTED if interrupted else getattr(error, "exit_code", FAILED)) from error
        raise
    finally:
        distributed.destroy_process_group()


def is_restart() -> bool:
    """Whether torchrun has started this command once more because one of its processes had ended."""
    return int(os.environ.get(RESTARTS, "0")) > 0


class Voice:
    """What ends a command is said once: by the first rank that meets it."""

    def __init__(self, store: PrefixStore) -> None:
        self._store = store

    def may_say(self, error: BaseException) -> bool:
        """Whether no rank has said the same; that another has ended, whether none has said anything."""
        text = "" if isinstance(error, LostRankError) else f"{type(error).__name__}: {error}"
        try:
            num_said: int = self._store.add("anything", 1)
            if text:
                num_said = self._store.add(sha256(text.encode(errors="replace")).hexdigest(), 1)
            return num_said == 1
        except RuntimeError:  # its keeper is gone: better twice than never
            return True


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients in their order, of about BUCKET_BYTES together and of one kind."""
    bucket: list[Tensor] = []
    num_bytes = 0
    for gradient in gradients:
        if bucket and (num_bytes + gradient.nbytes > BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, num_bytes = [], 0
        bucket.append(gradient)
        num_bytes += gradient.nbytes
    if bucket:
        yield bucket


@contextmanager
def _peers() -> Iterator[None]:
    """What torch raises where another process is gone becomes LostRankError; a lack of memory here stays what it is."""
    try:
        yield
    except (RuntimeError, ConnectionError) as error:
        if is_out_of_memory(error):
            raise
        raise LostRankError(
            "another process of this command was killed, most often for lack of memory, or its machine is gone "
            f"({(str(error).splitlines() or [type(error).__name__])[0]})"
        ) from error

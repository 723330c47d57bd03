"""The processes that train together: who leads, what they tell each other, and who computes which micro-batch."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from tracer_agents.errors import RunError
from tracer_env.errors import ConfigError, TracerError

Thing = TypeVar("Thing")
_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = timedelta(days=30)  # who follows waits as long as the leader generates; who dies is noticed by torchrun


class Ranks:
    """The processes of a training, of which rank 0 leads; a single process leads nobody.

    Args:
        rank: this process.
        size: how many there are.
        talk: connects them; None: there is one.
        local_rank: this process among those of its machine.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, talk: dist.ProcessGroup | None = None, *, local_rank: int = 0
    ) -> None:
        self.rank = rank
        self.size = size
        self._talk = talk
        self._local_rank = local_rank

    @property
    def several(self) -> bool:
        """Whether there is anybody else."""
        return self.size > 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that decides, generates and writes."""
        return self.rank == 0

    def require_device(self, device: torch.device) -> None:
        """Lets processes share nothing but CPUs.

        Raises:
            ConfigError: this machine has fewer GPUs than processes.
        """
        gpus = torch.cuda.device_count()
        if device.type == "cuda" and self._local_rank >= gpus:
            raise ConfigError(
                f"process {self._local_rank} of this machine has no GPU of its own, there are {gpus}: start torchrun "
                f"with --nproc-per-node {gpus}, or set speakers.device: cpu"
            )

    def mesh(self, device: torch.device) -> DeviceMesh:
        """All processes in a row, computing on devices of this kind; every process must ask for it."""
        return init_device_mesh(device.type, (self.size,))

    def tell(self, message: object) -> None:
        """Sends the leader's message to all that ``hear`` one."""
        if self.several:
            self._broadcast([message])

    def hear(self) -> Any:
        """The leader's next message; waits for it."""
        received: list[Any] = [None]
        self._broadcast(received)
        return received[0]

    def collect(self, thing: Thing) -> list[Thing]:
        """What every process gave, by rank, in every process."""
        if not self.several:
            return [thing]
        everything: list[Any] = [None] * self.size
        with speaking():
            dist.all_gather_object(everything, thing, group=self._talk)
        return everything

    def _broadcast(self, message: list[Any]) -> None:
        with speaking():
            dist.broadcast_object_list(message, src=0, group=self._talk)

    def alike(self, work: Callable[[], Thing]) -> Thing:
        """Lets every process do ``work`` that needs no other; if it fails in one, it fails in all.

        Raises:
            RunError: it failed elsewhere; names the rank and the failure.
        """
        if not self.several:
            return work()
        try:
            done = work()
        except (TracerError, OSError, ValueError, RuntimeError) as error:
            self.collect(str(error) or type(error).__name__)
            raise
        for rank, message in enumerate(self.collect(None)):
            if message is not None:
                raise RunError(f"rank {rank}: {message}")
        return done

    def dealt(self, batches: Sequence[Thing], idle: Thing) -> list[Thing]:
        """This process's share of a minibatch's micro-batches, as many for every process.

        Processes take turns, so that neighbours, which are of like size, are computed at the same time; who is left
        without one in the last round takes ``idle``.
        """
        rounds = -(-len(batches) // self.size)
        mine = list(batches[self.rank :: self.size])
        return mine + [idle] * (rounds - len(mine))


ALONE = Ranks()


@contextmanager
def speaking() -> Iterator[None]:
    """Turns a broken connection into an error that says so.

    Raises:
        RunError: another process of the training has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, TracerError) or not _is_about_others(error):
            raise
        raise RunError(
            "another process of the training has ended; the last checkpoint is intact, go on with train --resume"
        ) from error


def _is_about_others(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "NCCL", "Connection"))


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that ``torchrun`` started, this one among them; a process that was started by hand is alone.

    Raises:
        ConfigError: the environment names several processes, but not how they meet.
    """
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size <= 1 or "RANK" not in os.environ:
        yield ALONE
        return
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} are not set: start several processes by torchrun, "
            "or unset WORLD_SIZE"
        )
    local_rank = int(os.environ["LOCAL_RANK"])
    if local_rank < torch.cuda.device_count():
        torch.cuda.set_device(local_rank)
    backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backends)
    talk = cast("dist.ProcessGroup", dist.new_group(backend="gloo", timeout=_PATIENCE))
    yield Ranks(dist.get_rank(), size, talk, local_rank=local_rank)
    dist.destroy_process_group()  # after an error the process ends, and has said first why

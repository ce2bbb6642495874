"""The processes of one training: one, or those that torchrun starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Group:
    """This process, number `rank` of `size`, and the device that it computes on."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    @contextmanager
    def join(cls) -> Iterator[Group]:
        """The group of torchrun's processes while the context lasts; a group of one without torchrun."""
        gpus = torch.cuda.device_count()
        if not distributed.is_torchelastic_launched():
            yield cls(0, 1, torch.device("cuda" if gpus else "cpu"))
            return
        distributed.init_process_group("nccl" if gpus else "gloo")
        try:
            rank = distributed.get_rank()
            device = torch.device("cuda", rank % gpus) if gpus else torch.device("cpu")
            yield cls(rank, distributed.get_world_size(), device)
        finally:
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's part of `count` images, as equal as it goes."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network, whose gradients are averaged over the group."""
        return net if self.size == 1 else nn.parallel.DistributedDataParallel(net)

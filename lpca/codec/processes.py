"""The processes that train one codec together: the main one decides and writes, all compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from lpca.base.errors import RunError
from lpca.base.files import locked
from lpca.receivers.data_parallel import DataParallelReceiver
from lpca.receivers.model import Receiver


class Processes:
    """Those among which a receiver is divided; one, where it is not."""

    def __init__(self, receiver: Receiver) -> None:
        self._state = receiver.state if isinstance(receiver, DataParallelReceiver) else None

    @property
    def count(self) -> int:
        """How many there are."""
        return 1 if self._state is None else int(self._state.num_processes)

    @property
    def main(self) -> bool:
        """Whether this is the one that writes, and tells how far it is."""
        return self._state is None or bool(self._state.is_main_process)

    @contextmanager
    def locked(self, path: Path, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the lock named after `path`, one for all of them; nobody goes on before."""
        with locked(path, waiting) if self.main else nullcontext():
            self.wait()
            yield

    def wait(self) -> None:
        """Go on when all of them have come so far."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def end(self) -> None:
        """Part, when all of them have come so far."""
        if self._state is not None:
            self.wait()
            self._state.destroy_process_group()

    def agree_on(self, step: int) -> None:
        """Make sure that all of them go on from the same step; RunError where they would not."""
        if self._state is None:
            return
        from accelerate.utils import gather

        steps = gather(torch.tensor([step], device=self._state.device)).tolist()
        if len(set(steps)) > 1:
            raise RunError(f"the processes would go on from different steps: {steps}; run it again")

    def align(self, module: nn.Module) -> None:
        """Take the main process's weights and buffers, lest rounding lead them apart."""
        if self._state is not None:
            from accelerate.utils import broadcast

            broadcast(list(module.state_dict().values()))

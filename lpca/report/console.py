"""Progress on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Never

from tqdm import tqdm

from lpca.codec.training import Progress

SECONDS_BETWEEN_LINES = 10.0


class StderrConsole:
    """Shows what is trained or evaluated, how far it is and how long it will take."""

    def __init__(self, label: str = "") -> None:
        self.label = f"{label} " if label else ""
        self._bar: tqdm[Never] | None = None
        self._gap: float | None = None

    def tell(self, text: str) -> None:
        """Show one line."""
        tqdm.write(f"lpca: {self.label}{text}", file=sys.stderr)

    def training(self, progress: Progress, steps: int) -> None:
        """Show a training step: loss, time left, and how much worse a shuffled message does."""
        if self._bar is None:
            self._bar = self._new_bar("training", steps, "step")
        self._gap = self._gap if progress.gap is None else progress.gap
        gap = "-" if self._gap is None else f"{self._gap:+.2f}"
        text = f"loss {progress.loss:.3f}, shuffled-right {gap} nats"
        self._bar.set_postfix_str(text, refresh=False)
        self._advance(progress.step, steps)

    def evaluating(self, label: str) -> Callable[[int, int], None]:
        """Return what shows how many outcomes of how many are there."""

        def report(done: int, total: int) -> None:
            if self._bar is None:
                self._bar = self._new_bar(f"evaluating {label}", total, "outcome")
            self._advance(done, total)

        return report

    def _advance(self, done: int, total: int) -> None:
        assert self._bar is not None
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()
            self._bar, self._gap = None, None

    def _new_bar(self, what: str, total: int, unit: str) -> tqdm[Never]:
        interval = 0.1 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES
        return tqdm(
            total=total,
            desc=f"lpca: {self.label}{what}",
            unit=unit,
            mininterval=interval,
            file=sys.stderr,
            dynamic_ncols=True,
        )

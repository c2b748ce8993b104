"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Never, Self

from tqdm import tqdm

from lpca.codec.training import Progress

SECONDS_BETWEEN_LINES = 20.0
STALLED, LONGER = 60.0, 5.0
"""Seconds without news that are said, and how many times the longest wait so far they must be."""
_BAR = "{desc} {percentage:3.0f} % |{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}"


class StderrConsole:
    """Shows what is trained or evaluated, how far it is and how long it will take.

    A bar needs a terminal of its own: not one that several `worker`s write to, nor the log of a
    CI run. `make_room` is called before something is shown, so that nothing else's line is torn.
    """

    def __init__(self, worker: str = "", make_room: Callable[[], None] = lambda: None) -> None:
        self._prefix = f"lpca {worker}:" if worker else "lpca:"
        self._make_room = make_room
        self._alone = not worker
        self._meter: _Meter | None = None
        self._gap: float | None = None
        self._before = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell_stall(self) -> None:
        """Say so where nothing was heard of the work for long; now and then while that lasts."""
        meter = self._meter
        if meter is not None and (silent := meter.stalled()):
            self._make_room()
            tqdm.write(silent, file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        """Take away what is still shown of unfinished work."""
        if self._meter is not None:
            self._meter.close()
            self._meter, self._gap = None, None

    def tell(self, text: str) -> None:
        """Show one line."""
        self._make_room()
        tqdm.write(f"{self._prefix} {text}", file=sys.stderr)
        sys.stderr.flush()

    def training(self, progress: Progress, steps: int, what: str = "codec") -> None:
        """Show a training step: loss, time left, and how much worse a shuffled message does."""
        self._gap = self._gap if progress.gap is None else progress.gap
        gap = "" if self._gap is None else f", gap {self._gap:+.2f} nats"
        text = f"loss {progress.loss:.3f}{gap}"
        self._show(f"training {what}", progress.step, steps, "steps", progress.step - 1, text)

    def evaluating(self, label: str) -> Callable[[int, int], None]:
        """Return what shows how many outcomes of how many are there."""

        def report(done: int, total: int) -> None:
            self._show(f"evaluating {label}", done, total, "outcomes", done)

        return report

    def _show(
        self, what: str, done: int, total: int, unit: str, before: int, text: str = ""
    ) -> None:
        """`before`: how many were there at the first call, from a cache or a snapshot."""
        if self._meter is None:
            if done >= total:
                self.tell(f"{what}: all {total} {unit} are there from before")
                return
            self._make_room()
            self._before = before
            alone = self._alone and not os.environ.get("CI")
            bars = _bar_kind() if alone else None
            self._meter = _Meter(f"{self._prefix} {what}", done, total, unit, bars)
            self._meter.watch(self.tell_stall)
        if done < total:
            self._meter.show(done, text)
            return
        took = tqdm.format_interval(time.monotonic() - self._meter.pace.started)
        self.close()
        kept = f" ({self._before} were there from before)" if self._before else ""
        self.tell(f"{what}: {total} {unit} in {took}{kept}{f', {text}' if text else ''}")


def _bar_kind() -> type[tqdm[Never]] | None:
    """The bar that can be shown here: a terminal's, a notebook's; None for lines instead."""
    if sys.stderr.isatty():
        return tqdm
    if "ipykernel" not in sys.modules:
        return None
    try:
        import_module("ipywidgets")
        found: type[tqdm[Never]] = import_module("tqdm.notebook").tqdm
    except ImportError:
        return None
    return found


class Pace:
    """How long the rest of some work will take, at the pace since this was made."""

    def __init__(self, total: int, before: int) -> None:
        self.total, self.before, self.started = total, before, time.monotonic()

    def left(self, done: int, lead: str = "") -> str:
        """For people, when so much is done; nothing where it is not known yet."""
        if done <= self.before or done >= self.total:
            return ""
        seconds = (time.monotonic() - self.started) / (done - self.before) * (self.total - done)
        return f"{lead}{tqdm.format_interval(seconds)} left"

    def rate(self, done: int) -> str:
        """For people, how many come a second; nothing where it is not known yet."""
        took = time.monotonic() - self.started
        return f"{(done - self.before) / took:.3g}/s" if took > 0 and done > self.before else ""


class _Meter:
    """How far one piece of work is, and how long it will still take at the pace since `first`."""

    def __init__(
        self, what: str, first: int, total: int, unit: str, bars: type[tqdm[Never]] | None
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.pace, self._told = Pace(total, first), 0.0
        self._done, self._heard, self._longest = first, self.pace.started, 0.0
        self._stall_told, self._closed = 0.0, threading.Event()
        self._bar: tqdm[Never] | None = None
        if bars is not None:
            self._bar = bars(
                desc=what,
                initial=first,
                total=total,
                file=sys.stderr,
                bar_format=_BAR,
                smoothing=0,
                dynamic_ncols=True,
                leave=False,
            )

    def show(self, done: int, text: str) -> None:
        """Redraw the bar, or write a line where the last one is old enough."""
        now = time.monotonic()
        if done > self._done:
            self._longest = max(self._longest, now - self._heard)
            self._done, self._heard, self._stall_told = done, now, 0.0
        # a training step says of itself what counts
        rate = self.pace.rate(done) if self.unit == "outcomes" else ""
        if self._bar is not None:
            self._bar.set_postfix_str(text or rate, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        if self._told and now - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told = now
        share = f"{done} of {self.total} {self.unit}, {100 * done // self.total} %"
        told = ", ".join(filter(None, [share, rate, self.pace.left(done), text]))
        print(f"{self.what}: {told}", file=sys.stderr, flush=True)

    def stalled(self) -> str:
        """That nothing was heard for long, where it is due to be said; else nothing."""
        silent = time.monotonic() - self._heard
        # twice as long before it is said again
        if silent < max(STALLED, LONGER * self._longest, 2.0 * self._stall_told):
            return ""
        self._stall_told = silent
        at = f"{self._done} of {self.total} {self.unit}"
        return f"{self.what}: nothing new for {tqdm.format_interval(silent)}, at {at}"

    def watch(self, look: Callable[[], None]) -> None:
        """Look from time to time, until this is closed, while the work goes on."""

        def looking() -> None:
            while not self._closed.wait(STALLED / 4):
                look()

        threading.Thread(target=looking, daemon=True).start()

    def close(self) -> None:
        """Take the bar away."""
        self._closed.set()
        if self._bar is not None:
            self._bar.close()


def own_line() -> None:
    """Bring a terminal that other processes write to to the start of a line.

    A line's width of blanks runs over into the next line, unless the cursor stands at its start.
    """
    if sys.stderr.isatty():
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        print(" " * (columns - 1) + "\r", end="", file=sys.stderr, flush=True)

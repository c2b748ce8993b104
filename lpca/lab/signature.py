"""What a codec did, in plain words, by the intervals of its gate's episodes.

All intervals are paired and at the spec's confidence. In this order:

- `transmits`: the gate passes.
- `partly transmits`: the gate does not pass, but `normal - shuffle` lies above 0: this message
  helps more than another, and some further claim does not hold.
- `magic prompt`: `normal - shuffle` does not lie above 0, yet training moved something: success
  under `normal` differs from `p0`, or the right answer became more likely than under `p0`, or the
  training loss fell. B reacts to having a prefix, or the objective was met without B.
- `nothing learned`: none of this.
"""

from __future__ import annotations

from lpca.lab.summary import Effect, Reading
from lpca.stats import Verdict

TRANSMITS, PARTLY = "transmits", "partly transmits"
MAGIC_PROMPT, NOTHING = "magic prompt", "nothing learned"
NEEDED = ("p0", "normal", "shuffle")
"""Conditions without which no signature can be read."""


def signature(reading: Reading) -> str:
    """Name what a codec did; empty where there is no verdict to be read."""
    if not reading.readable:
        return ""
    if reading.verdict is Verdict.PASS:
        return TRANSMITS
    if reading.effects["normal - shuffle"].above:
        return PARTLY
    return MAGIC_PROMPT if moved(reading) else NOTHING


def moved(reading: Reading) -> list[str]:
    """What training moved, whatever the message: reasons with their numbers."""
    found = []
    success, likelihood = reading.effects["normal - p0"], reading.nll_gaps["p0 - normal"]
    if success.above or success.below:
        found.append(f"normal − p0 {interval(success, 100.0)} points")
    if likelihood.above:
        found.append(f"the right answer {interval(likelihood)} nats likelier than under p0")
    if reading.loss and reading.loss.fell:
        found.append(f"training loss {reading.loss.first:.3g} → {reading.loss.last:.3g}")
    return found


def why(reading: Reading) -> str:
    """The numbers that a signature rests on; for what is not read, the reason."""
    if not reading.readable:
        return "; ".join(reading.reasons)
    parts = [f"normal − shuffle {interval(reading.effects['normal - shuffle'], 100.0)} points"]
    if reading.verdict is not Verdict.PASS:
        parts += moved(reading)
        parts.append(f"not met: {', '.join(reading.not_passed)}")
    return "; ".join(parts)


def interval(effect: Effect, unit: float = 1.0) -> str:
    """A difference with its interval, in a unit."""
    low, high = (
        f"{sign}∞" if bound is None else _signed(bound * unit)
        for bound, sign in ((effect.low, "−"), (effect.high, "+"))
    )
    return f"{_signed(effect.mean * unit)} [{low}, {high}]"


def _signed(value: float) -> str:
    digits = 1 if abs(value) >= 10.0 else 2
    return f"{value:+.{digits}f}".replace("-", "−")

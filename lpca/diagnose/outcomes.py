"""Outcomes of slots on episodes; what was measured once is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lpca.evaluation.block import Job, make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import BLOCK
from lpca.evaluation.outcome import Outcome
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.stats import PairedTable, tango, wilson
from lpca.tasks import Episode

Report = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Report nothing."""


class Outcomes:
    """Records by the content of what B is given, kept while this object lives."""

    def __init__(self, receiver: Receiver, batch_size: int = 32) -> None:
        self.receiver, self.batch_size = receiver, batch_size
        self._kept: dict[str, tuple[Outcome, ...]] = {}

    def measure(
        self,
        episodes: Sequence[Episode],
        wanted: Mapping[str, Sequence[Slot]],
        report: Report = silent,
    ) -> dict[str, list[Outcome]]:
        """Return each name's records, in the order of the episodes."""
        found: dict[str, list[Outcome]] = {name: [] for name in wanted}
        done, total = 0, len(episodes) * len(wanted)
        report(done, total)
        for start in range(0, len(episodes), BLOCK):
            block = slice(start, start + BLOCK)
            jobs = {
                name: make_job(self.receiver, name, episodes[block], slots[block])
                for name, slots in wanted.items()
            }
            new: dict[str, Job] = {
                job.key: job for job in jobs.values() if job.key not in self._kept
            }
            done += len(episodes[block]) * (len(jobs) - len(new))
            if new:
                for job, records in run_block(self.receiver, list(new.values()), self.batch_size):
                    self._kept[job.key] = records
                    done += len(records)
                    report(done, total)
            for name, job in jobs.items():
                found[name] += self._kept[job.key]
        return found


def measured(
    outcomes: Outcomes, setting: Setting, conditions: Sequence[str], report: Report = silent
) -> dict[str, list[Outcome]]:
    """Return the records of a setting's episodes under conditions."""
    wanted = {name: build_slots(name, setting) for name in conditions}
    return outcomes.measure(setting.episodes.episodes, wanted, report)


def nll(record: Outcome) -> float:
    """-log p of the right answer's text, in nats, summed over its tokens."""
    return -record.scores[record.answer]


def numbers(records: Sequence[Outcome], confidence: float) -> dict[str, Any]:
    """Successes with Wilson's interval, and the mean `nll`."""
    count = sum(record.likelihood_success for record in records)
    mean = sum(map(nll, records)) / len(records)
    return {**share(count, len(records), confidence), "nll": round(mean, 6)}


def share(count: int, n: int, confidence: float) -> dict[str, Any]:
    """A count with Wilson's interval of its rate."""
    interval = wilson(count, n, confidence)
    return {"successes": count, "interval": [interval.low, interval.high]}


def difference(
    first: Sequence[Outcome], second: Sequence[Outcome], confidence: float
) -> dict[str, Any]:
    """First success rate minus second, on the same episodes, with Tango's interval."""
    table = PairedTable.from_outcomes(
        [one.likelihood_success for one in first], [one.likelihood_success for one in second]
    )
    interval = tango(table, confidence)
    return {"difference": table.difference, "interval": [interval.low, interval.high]}

"""Outcomes of slots on episodes, each measured once; and which kinds of episodes reverse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lpca.evaluation.block import Job, make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import BLOCK
from lpca.evaluation.outcome import NEAR_TIE, Outcome
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.stats.proportions import tango, wilson
from lpca.stats.tables import PairedTable
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


CONDITIONS = ("normal", "null", "shuffle", "random", "p0", "p1")
PAIRS = (("normal", "shuffle"), ("normal", "p0"), ("p1", "p0"))
MOST_KINDS = 4


def by_episode(
    outcomes: Outcomes, setting: Setting, confidence: float, report: Report = silent
) -> dict[str, Any]:
    """Return each condition's numbers, each episode's NLLs, and the reversals.

    An episode reverses where the donor's message makes the right answer more likely than its own
    message does: NLL shuffle < NLL normal by more than `NEAR_TIE` nats.
    """
    records = measured(outcomes, setting, CONDITIONS, report)
    episodes = setting.episodes.episodes
    return {
        "n": len(episodes),
        "conditions": {name: numbers(rows, confidence) for name, rows in records.items()},
        "differences": {
            f"{one} - {other}": difference(records[one], records[other], confidence)
            for one, other in PAIRS
        },
        "reversed": reversals(setting.receiver, episodes, records, confidence),
        "episodes": [
            {
                "seed": episode.seed,
                "message": episode.message,
                "right": episode.right,
                "reversed": gap(records, i) < -NEAR_TIE,
                "nll": {name: round(nll(rows[i]), 6) for name, rows in records.items()},
                "success": {name: rows[i].likelihood_success for name, rows in records.items()},
            }
            for i, episode in enumerate(episodes)
        ],
    }


def reversals(
    receiver: Receiver,
    episodes: Sequence[Episode],
    records: Mapping[str, Sequence[Outcome]],
    confidence: float,
) -> dict[str, Any]:
    """Count reversed episodes, whole and by kind; ties count as not reversed, and are told."""
    gaps = [gap(records, i) for i in range(len(episodes))]
    turned = [one < -NEAR_TIE for one in gaps]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for name, kind_of in _kinds(receiver, episodes).items():
        named = [kind_of(episode) for episode in episodes]
        kinds[name] = [
            {"kind": kind, **_count([turned[i] for i in where], confidence)}
            for kind in dict.fromkeys(sorted(named, key=_in_order))
            if (where := [i for i, own in enumerate(named) if own == kind])
        ]
    return {
        **_count(turned, confidence),
        "ties": sum(abs(one) <= NEAR_TIE for one in gaps),
        "by": kinds,
    }


def gap(records: Mapping[str, Sequence[Outcome]], index: int) -> float:
    """NLL with the donor's message minus NLL with its own, in nats; negative: reversed."""
    return nll(records["shuffle"][index]) - nll(records["normal"][index])


def _kinds(receiver: Receiver, episodes: Sequence[Episode]) -> dict[str, Callable[[Episode], str]]:
    return {
        "stratum": lambda episode: episode.stratum,
        "answer tokens": _binned(lambda one: len(receiver.option_ids(one.right)), episodes),
        "message tokens": _binned(lambda one: len(receiver.message_ids(one.message)), episodes),
        "place of the right option": lambda episode: str(episode.answer + 1),
    }


def _binned(
    size: Callable[[Episode], int], episodes: Sequence[Episode]
) -> Callable[[Episode], str]:
    """Name a size as it is where sizes are few, else by the quarter of the episodes it is in."""
    sizes = sorted(map(size, episodes))
    if len(set(sizes)) <= MOST_KINDS:
        return lambda episode: str(size(episode))
    cuts = sorted({sizes[len(sizes) * i // MOST_KINDS] for i in range(1, MOST_KINDS)})
    lows = [sizes[0], *(cut for cut in cuts if cut > sizes[0])]

    def quarter(episode: Episode) -> str:
        at = max(i for i, low in enumerate(lows) if size(episode) >= low)
        high = lows[at + 1] - 1 if at + 1 < len(lows) else sizes[-1]
        return str(lows[at]) if lows[at] == high else f"{lows[at]}-{high}"

    return quarter


def _in_order(kind: str) -> tuple[int, str]:
    first = kind.split("-")[0]
    return (int(first), "") if first.isdigit() else (0, kind)


def _count(turned: Sequence[bool], confidence: float) -> dict[str, Any]:
    interval = wilson(sum(turned), len(turned), confidence)
    return {"n": len(turned), "reversed": sum(turned), "interval": [interval.low, interval.high]}

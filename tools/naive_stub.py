"""What a subset chosen by null's own failures claims for a random prefix, on real outcomes.

The stub receiver, validation episodes of the task trip, random vectors of a checkpoint's norms.
Outcomes of a receiver have no noise of their own: each of the three runs (random, null, and null
again, which screens) lists the options in an order of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from naive_subset import show
from screening import screen

from lpca.base.hashing import named_rng
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import load_codec, read_identity
from lpca.diagnose.episodes import Outcomes
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.load import load_receiver
from lpca.tasks import Episode, EpisodeSet
from lpca.tasks.kinds.trip import Trip

EPISODES, SEED = 2000, 5


def reordered(task: Trip, episode: Episode, run: str) -> Episode:
    """The same episode with its options in an order of this run's own."""
    order = list(range(len(episode.options)))
    named_rng("reordered", run, episode.seed).shuffle(order)
    lead, behind, _ = task.outside(episode)
    options = tuple(episode.options[i] for i in order)
    before = f"{lead}{', '.join(options)}{behind}"
    return replace(episode, before=before, options=options, answer=order.index(episode.answer))


def main() -> None:
    """Print the page's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    folder = parser.parse_args().checkpoint
    receiver, k, task = load_receiver("stub", "cpu"), read_identity(folder).k, Trip()
    channel = Channel(receiver, load_codec(folder, receiver, k), k)
    whole, outcomes = task.evaluation_set("validation", "seen", EPISODES, SEED), Outcomes(receiver)
    runs: dict[str, list[bool]] = {}
    for run, condition in {"prefix": "random", "null": "null", "again": "null"}.items():
        rows = EpisodeSet(tuple(reordered(task, e, run) for e in whole), whole.donors)
        slots = build_slots(condition, Setting(receiver, channel, rows))
        records = outcomes.measure(rows.episodes, {run: slots})[run]
        runs[run] = [one.likelihood_success for one in records]
    show(screen(runs["prefix"], runs["null"], runs["again"]))


if __name__ == "__main__":
    main()

"""Sound runs: none of them may be accused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lpca.gate.plan import task_of
from lpca.gatespec.model import Answers
from lpca.sabotage.faulty_run import Result, Stage, Theatre

STRATA: tuple[Answers, ...] = ("seen", "unseen", "all")
TRAIN_SEEDS, OPTIONS, SIZES = 3, (4, 4, 3, 5, 6), (200, 160, 240, 301)


@dataclass(frozen=True)
class SoundRun:
    """One sound run's settings and what became of it."""

    task_seed: int
    train_seed: int
    answers: Answers
    options: int
    n: int
    result: Result


def sound_runs(
    theatre: Theatre, count: int, report: Callable[[SoundRun], None] = lambda run: None
) -> list[SoundRun]:
    """Decide sound runs over seeds of the task and of training, strata, options and sizes."""
    runs = []
    for number in range(count):
        runs.append(sound_run(theatre, number))
        report(runs[-1])
    return runs


def sound_run(theatre: Theatre, number: int) -> SoundRun:
    """Decide one of them, numbered from 0."""
    train_seed, options = number % TRAIN_SEEDS, OPTIONS[number % len(OPTIONS)]
    answers, n = STRATA[number % len(STRATA)], SIZES[number % len(SIZES)]
    with theatre.stage(train_seed) as stage:
        _vary(stage, 1000 + number, options)
        stage.change_gate(answers=answers, n=n)
        return SoundRun(1000 + number, train_seed, answers, options, n, stage.decide())


def _vary(stage: Stage, seed: int, options: int) -> None:
    task = replace(stage.spec.task, seed=seed, settings={"options": options})
    stage.spec = replace(stage.spec, task=task)
    stage.task = task_of(stage.spec)


def accused(runs: list[SoundRun]) -> Iterator[SoundRun]:
    """The runs in which a check fired."""
    return (run for run in runs if run.result.fired)

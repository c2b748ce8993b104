"""Episodes that decide nothing: leaked from training, dropped, picked, or their own donors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lpca.codec.checkpoint import trained_episodes
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import Evaluated
from lpca.gatespec.model import Filter
from lpca.judge import OutcomeTable
from lpca.sabotage.base import sabotage
from lpca.sabotage.faulty_run import Stage
from lpca.sabotage.parts import SpoiltTask
from lpca.tasks import Episode, EpisodeSet

EVERY = 10
"""One episode in so many is spoilt where only some are."""


@sabotage("field", "some episodes are their own donors", "donors_deranged")
def own_donors(stage: Stage) -> None:
    """Those whose message would have stayed the same."""

    def fixed(episodes: EpisodeSet) -> EpisodeSet:
        # The cycle is closed around every tenth, so that it stays a permutation.
        cycle = [i for i in range(len(episodes)) if i % EVERY]
        following = dict(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        return replace(episodes, donors=tuple(following.get(i, i) for i in range(len(episodes))))

    stage.task = SpoiltTask(stage.task, whole=fixed)


@sabotage("field", "some donors have the same answer", "donors_deranged")
def donors_agree(stage: Stage) -> None:
    """A donor that says the same is no contradiction."""

    def agreeing(episodes: EpisodeSet) -> EpisodeSet:
        found = list(episodes)
        for i in range(0, len(found) - 1, EVERY):
            found[i + 1] = _saying(found[i + 1], found[i])
        return replace(episodes, episodes=tuple(found))

    stage.task = SpoiltTask(stage.task, whole=agreeing)


def _saying(episode: Episode, other: Episode) -> Episode:
    """The episode with another's answer, in that one's other words."""
    if other.right in episode.options:
        return episode
    old = episode.right
    return replace(
        episode,
        message=other.paraphrase,
        paraphrase=other.message,
        before=episode.before.replace(old, other.right),
        options=tuple(other.right if option == old else option for option in episode.options),
    )


@sabotage("field", "training episodes are in the test set (same seeds)", "splits_disjoint")
def training_seeds_tested(stage: Stage) -> None:
    """As where both sets are drawn from one range."""
    trained = trained_episodes(stage.codec.identity, stage.task)
    stage.task = SpoiltTask(
        stage.task, lambda e, i: replace(e, seed=trained[i].seed) if i % EVERY == 0 else e
    )


@sabotage("field", "training messages are in the test set under other seeds", "splits_disjoint")
def training_messages_tested(stage: Stage) -> None:
    """Seeds differ; the codec has met the messages."""
    met = {e.right: e.message for e in trained_episodes(stage.codec.identity, stage.task)}
    stage.task = SpoiltTask(
        stage.task, lambda e, i: replace(e, message=met.get(e.right, e.message))
    )


@sabotage("building", "a trained answer passes for an unseen one", "splits_disjoint")
def trained_answers_unseen(stage: Stage) -> None:
    """The stratum is a label only."""
    stage.task = SpoiltTask(stage.task, lambda e, i: replace(e, stratum="unseen"))


@sabotage("building", "validation episodes are in the test set", "splits_disjoint")
def validation_tested(stage: Stage) -> None:
    """Those that training was watched by."""
    seeds = [e.seed for e in stage.task.evaluation_set("validation", "seen", EVERY, 0)]
    stage.task = SpoiltTask(
        stage.task, lambda e, i: replace(e, seed=seeds[i]) if i < len(seeds) else e
    )


@sabotage("field", "failed episodes are dropped from the denominator", "episodes_complete")
def failures_dropped(stage: Stage) -> None:
    """As if they had crashed."""
    _judge_only(stage, lambda outcomes, i: outcomes["normal"][i])


@sabotage("field", "a subset is chosen by null's own failures, in the code", "episodes_complete")
def subset_in_code(stage: Stage) -> None:
    """The episodes in which `communication matters`."""
    _judge_only(stage, lambda outcomes, i: not outcomes["null"][i])


@sabotage(
    "field", "a subset is chosen by null's own failures, in the spec", "outcome-filter", "REFUSED"
)
def subset_in_spec(stage: Stage) -> None:
    """`where: null fails`."""
    stage.change_gate(where=Filter((("null", False),), "null fails"))


@sabotage("building", "fewer episodes are evaluated than declared", "episodes_complete")
def episodes_left_out(stage: Stage) -> None:
    """The last fifth is never run."""

    honest = stage.steps.evaluate

    def fewer(setting: Setting, *rest: Any) -> Evaluated:
        part = setting.episodes.part(0, len(setting.episodes) * 4 // 5)
        return honest(replace(setting, episodes=part), *rest)

    stage.exchange(evaluate=fewer)


def _judge_only(stage: Stage, keep: Callable[[Mapping[str, Sequence[bool]], int], bool]) -> None:
    honest = stage.steps.outcome_table

    def kept(episodes: EpisodeSet, evaluated: Evaluated, score: str) -> OutcomeTable:
        table = honest(episodes, evaluated, score)
        rows = [i for i in range(table.n) if keep(table.outcomes, i)]
        return OutcomeTable(
            tuple(table.seeds[i] for i in rows),
            {name: tuple(values[i] for i in rows) for name, values in table.outcomes.items()},
        )

    stage.exchange(outcome_table=kept)


EPISODES = (
    own_donors,
    donors_agree,
    training_seeds_tested,
    training_messages_tested,
    trained_answers_unseen,
    validation_tested,
    failures_dropped,
    subset_in_code,
    subset_in_spec,
    episodes_left_out,
)

"""Episodes that decide nothing: they give the answer away, were trained on, dropped or picked."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from lpca.codec.checkpoint import trained_episodes
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import Evaluated
from lpca.gatespec.model import Filter, Score
from lpca.judge.outcomes import OutcomeTable
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.sabotage.catalogue import sabotage
from lpca.sabotage.faulty_run import FaultyRun
from lpca.sabotage.spoilt import EVERY, reordered, spoil_episodes, spoil_prompts, tell_in_prompt
from lpca.tasks import Episode, EpisodeSet


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@sabotage("field", "the message stands paraphrased in B's prompt", "no_answer_outside_options")
def paraphrase_in_prompt(run: FaultyRun) -> None:
    """In the task's own episodes, so that the prompt is p0's under every condition."""
    tell_in_prompt(run, lambda e: e.paraphrase)


@sabotage("field", "the message stands in B's prompt in base64", "no_answer_outside_options")
def base64_in_prompt(run: FaultyRun) -> None:
    """B cannot read it; another one might."""
    tell_in_prompt(run, lambda e: _base64(e.message))


@sabotage("field", "the answer word alone stands in B's prompt", "no_answer_outside_options")
def answer_in_prompt(run: FaultyRun) -> None:
    """In capitals."""
    tell_in_prompt(run, lambda e: e.right.upper() + "!")


@sabotage("building", "the answer is spelled in B's prompt", "no_answer_outside_options")
def answer_spelled_in_prompt(run: FaultyRun) -> None:
    """Letter by letter."""
    tell_in_prompt(run, lambda e: "-".join(e.right))


@sabotage("field", "the answer stands in B's prompt in look-alikes", "no_answer_outside_options")
def lookalike_in_prompt(run: FaultyRun) -> None:
    """Its vowels are Cyrillic: to a reader it is the answer."""
    tell_in_prompt(run, lambda e: e.right.translate(str.maketrans("AaEeIiOo", "АаЕеІіОо")))


@sabotage(
    "field",
    "the prompt builder adds the message in base64 under the latent conditions",
    "prompt_is_p0s prompt_ignores_message",
)
def builder_adds_base64(run: FaultyRun) -> None:
    """p0 and p1 stay as they are."""
    latent = [name for name in run.gate.conditions if name not in ("p0", "p1", "embed")]
    spoil_prompts(run, lambda e: replace(e, after=f" {_base64(e.message)}{e.after}"), latent)


@sabotage("field", "the answer's index leaks through the options' order", "form_gives_no_answer")
def order_gives_answer(run: FaultyRun) -> None:
    """The wrong options are sorted; the right one breaks the order."""

    def sorted_but_one(episode: Episode, index: int) -> Episode:
        wrong = sorted(option for option in episode.options if option != episode.right)
        place = episode.answer
        return reordered(episode, [*wrong[:place], episode.right, *wrong[place:]])

    spoil_episodes(run, sorted_but_one)


@sabotage("building", "the right option always stands first", "position_balanced")
def right_option_first(run: FaultyRun) -> None:
    """As where shuffling was forgotten."""

    def first(episode: Episode, index: int) -> Episode:
        wrong = [option for option in episode.options if option != episode.right]
        return reordered(episode, [episode.right, *wrong])

    spoil_episodes(run, first)


@sabotage("field", "the length of the prompt leaks the answer", "form_gives_no_answer")
def length_gives_answer(run: FaultyRun) -> None:
    """As many line breaks before the question as the answer's index says."""
    spoil_episodes(run, lambda e, _: replace(e, after="\n" * e.answer + e.after))


@sabotage("field", "the slot's position leaks the answer", "form_gives_no_answer")
def position_gives_answer(run: FaultyRun) -> None:
    """The text before the slot is filled up to a length that gives the index as a remainder."""

    def filled(episode: Episode, index: int) -> Episode:
        short = (episode.answer - len(episode.before)) % len(episode.options)
        return replace(episode, before=episode.before + " " * short)

    spoil_episodes(run, filled)


@sabotage("building", "a mark in the list gives the right option away", "form_gives_no_answer")
def mark_gives_answer(run: FaultyRun) -> None:
    """Two spaces instead of one before it."""

    def marked(episode: Episode, index: int) -> Episode:
        before = episode.before.replace(f" {episode.right}", f"  {episode.right}", 1)
        return replace(episode, before=before)

    spoil_episodes(run, marked)


@sabotage("field", "P0 is crippled, so that the gain looks large", "prompt_is_p0s")
def p0_crippled(run: FaultyRun) -> None:
    """Its prompt has lost the question's format."""
    spoil_prompts(run, lambda e: replace(e, after=" ?"), ["p0"])


@sabotage("field", "P1 is crippled, so that retention looks high", "text_is_message")
def p1_crippled(run: FaultyRun) -> None:
    """Text, and its embeddings with it, lose the last three tokens of the message."""

    def cut(setting: Setting) -> list[tuple[int, ...]]:
        rows = [setting.receiver.message_ids(e.message) for e in setting.episodes]
        return [tuple(row[:-3]) for row in rows]

    run.condition("p1", lambda s: [Slot(ids=row) for row in cut(s)])
    run.condition("embed", lambda s: [Slot(vectors=s.receiver.embed(row)) for row in cut(s)])


@sabotage("field", "a control token's name in a message ends B's prompt", "text_is_message")
def message_ends_prompt(run: FaultyRun) -> None:
    """As tokenizers read it by themselves; every message holds one."""
    spoil_episodes(run, lambda e, _: replace(e, message=f"{e.message} </s>"))
    run.receiver = ReadingControl(
        **{one.name: getattr(run.receiver, one.name) for one in fields(run.receiver)}
    )


class ReadingControl(Receiver):
    """A receiver that takes the name of a control token in a message for the token."""

    def message_ids(self, message: str) -> list[int]:
        """As its tokenizer has them."""
        return list(self.tokenizer(f" {message}", add_special_tokens=False)["input_ids"])


@sabotage("field", "some episodes are their own donors", "donors_deranged")
def own_donors(run: FaultyRun) -> None:
    """Those whose message would have stayed the same."""

    def fixed(episodes: EpisodeSet) -> EpisodeSet:
        # The cycle is closed around every tenth, so that it stays a permutation.
        cycle = [i for i in range(len(episodes)) if i % EVERY]
        following = dict(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        return replace(episodes, donors=tuple(following.get(i, i) for i in range(len(episodes))))

    spoil_episodes(run, whole=fixed)


@sabotage("field", "some donors have the same answer", "donors_deranged")
def donors_agree(run: FaultyRun) -> None:
    """A donor that says the same is no contradiction."""

    def agreeing(episodes: EpisodeSet) -> EpisodeSet:
        found = list(episodes)
        for i in range(0, len(found) - 1, EVERY):
            found[i + 1] = _saying(found[i + 1], found[i])
        return replace(episodes, episodes=tuple(found))

    spoil_episodes(run, whole=agreeing)


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
def training_seeds_tested(run: FaultyRun) -> None:
    """As where both sets are drawn from one range."""
    trained = trained_episodes(run.codec.identity, run.task)
    spoil_episodes(run, lambda e, i: replace(e, seed=trained[i].seed) if i % EVERY == 0 else e)


@sabotage("field", "training messages are in the test set under other seeds", "splits_disjoint")
def training_messages_tested(run: FaultyRun) -> None:
    """Seeds differ; the codec has met the messages."""
    met = {e.right: e.message for e in trained_episodes(run.codec.identity, run.task)}
    spoil_episodes(run, lambda e, i: replace(e, message=met.get(e.right, e.message)))


@sabotage("building", "a trained answer passes for an unseen one", "splits_disjoint")
def trained_answers_unseen(run: FaultyRun) -> None:
    """The stratum is a label only."""
    spoil_episodes(run, lambda e, _: replace(e, stratum="unseen"))


@sabotage("building", "validation episodes are in the test set", "splits_disjoint")
def validation_tested(run: FaultyRun) -> None:
    """Those that training was watched by."""
    seeds = [e.seed for e in run.task.evaluation_set("validation", "seen", EVERY, 0)]
    spoil_episodes(run, lambda e, i: replace(e, seed=seeds[i]) if i < len(seeds) else e)


@sabotage("field", "failed episodes are dropped from the denominator", "episodes_complete")
def failures_dropped(run: FaultyRun) -> None:
    """As if they had crashed."""
    _judge_only(run, lambda outcomes, i: bool(outcomes["normal"][i]))


@sabotage("field", "a subset is chosen by null's own failures, in the code", "episodes_complete")
def subset_in_code(run: FaultyRun) -> None:
    """The episodes in which `communication matters`."""
    _judge_only(run, lambda outcomes, i: not outcomes["null"][i])


@sabotage(
    "field", "a subset is chosen by null's own failures, in the spec", "outcome-filter", "REFUSED"
)
def subset_in_spec(run: FaultyRun) -> None:
    """`where: null fails`."""
    run.change_gate(where=Filter((("null", False),), "null fails"))


@sabotage("building", "fewer episodes are evaluated than declared", "episodes_complete")
def episodes_left_out(run: FaultyRun) -> None:
    """The last fifth is never run."""

    honest = run.steps.evaluate

    def fewer(setting: Setting, *rest: Any) -> Evaluated:
        part = setting.episodes.part(0, len(setting.episodes) * 4 // 5)
        return honest(replace(setting, episodes=part), *rest)

    run.exchange(evaluate=fewer)


def _judge_only(run: FaultyRun, keep: Callable[[Mapping[str, Sequence[float]], int], bool]) -> None:
    honest = run.steps.outcome_table

    def kept(episodes: EpisodeSet, evaluated: Evaluated, score: Score) -> OutcomeTable:
        table = honest(episodes, evaluated, score)
        if set(table.outcomes) == {"p0", "p1"}:
            # what the required gate is decided by, before anything else is measured
            return table
        rows = [i for i in range(table.n) if keep(table.outcomes, i)]
        return OutcomeTable(
            tuple(table.seeds[i] for i in rows),
            {name: tuple(values[i] for i in rows) for name, values in table.outcomes.items()},
        )

    run.exchange(outcome_table=kept)

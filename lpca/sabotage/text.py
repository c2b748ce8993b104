"""The message, or its answer, reaches B beside the channel."""

from __future__ import annotations

import base64
from dataclasses import replace

from lpca.sabotage.base import sabotage
from lpca.sabotage.faulty_run import Stage
from lpca.sabotage.parts import SpoiltTask, reordered, spoil_prompts, told
from lpca.tasks import Episode


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@sabotage("field", "the message stands paraphrased in B's prompt", "no_answer_outside_options")
def paraphrase_in_prompt(stage: Stage) -> None:
    """In the task's own episodes, so that the prompt is p0's under every condition."""
    stage.task = SpoiltTask(stage.task, told(lambda e: e.paraphrase))


@sabotage("field", "the message stands in B's prompt in base64", "no_answer_outside_options")
def base64_in_prompt(stage: Stage) -> None:
    """B cannot read it; another one might."""
    stage.task = SpoiltTask(stage.task, told(lambda e: _base64(e.message)))


@sabotage("field", "the answer word alone stands in B's prompt", "no_answer_outside_options")
def answer_in_prompt(stage: Stage) -> None:
    """In capitals."""
    stage.task = SpoiltTask(stage.task, told(lambda e: e.right.upper() + "!"))


@sabotage("building", "the answer is spelled in B's prompt", "no_answer_outside_options")
def answer_spelled_in_prompt(stage: Stage) -> None:
    """Letter by letter."""
    stage.task = SpoiltTask(stage.task, told(lambda e: "-".join(e.right)))


@sabotage(
    "field",
    "the prompt builder adds the message in base64 under the latent conditions",
    "prompt_is_p0s prompt_ignores_message",
)
def builder_adds_base64(stage: Stage) -> None:
    """p0 and p1 stay as they are."""
    latent = [name for name in stage.gate.conditions if name not in ("p0", "p1", "embed")]
    spoil_prompts(stage, lambda e: replace(e, after=f" {_base64(e.message)}{e.after}"), latent)


@sabotage("field", "the answer's index leaks through the options' order", "form_gives_no_answer")
def order_gives_answer(stage: Stage) -> None:
    """The wrong options are sorted; the right one breaks the order."""

    def sorted_but_one(episode: Episode, index: int) -> Episode:
        wrong = sorted(option for option in episode.options if option != episode.right)
        place = episode.answer
        return reordered(episode, [*wrong[:place], episode.right, *wrong[place:]])

    stage.task = SpoiltTask(stage.task, sorted_but_one)


@sabotage("building", "the right option always stands first", "position_balanced")
def right_option_first(stage: Stage) -> None:
    """As where shuffling was forgotten."""

    def first(episode: Episode, index: int) -> Episode:
        wrong = [option for option in episode.options if option != episode.right]
        return reordered(episode, [episode.right, *wrong])

    stage.task = SpoiltTask(stage.task, first)


@sabotage("field", "the length of the prompt leaks the answer", "form_gives_no_answer")
def length_gives_answer(stage: Stage) -> None:
    """As many line breaks before the question as the answer's index says."""
    stage.task = SpoiltTask(stage.task, lambda e, i: replace(e, after="\n" * e.answer + e.after))


@sabotage("field", "the slot's position leaks the answer", "form_gives_no_answer")
def position_gives_answer(stage: Stage) -> None:
    """The text before the slot is filled up to a length that gives the index as a remainder."""

    def filled(episode: Episode, index: int) -> Episode:
        short = (episode.answer - len(episode.before)) % len(episode.options)
        return replace(episode, before=episode.before + " " * short)

    stage.task = SpoiltTask(stage.task, filled)


@sabotage("building", "a mark in the list gives the right option away", "form_gives_no_answer")
def mark_gives_answer(stage: Stage) -> None:
    """Two spaces instead of one before it."""

    def marked(episode: Episode, index: int) -> Episode:
        before = episode.before.replace(f" {episode.right}", f"  {episode.right}", 1)
        return replace(episode, before=before)

    stage.task = SpoiltTask(stage.task, marked)


@sabotage("field", "P0 is crippled, so that the gain looks large", "prompt_is_p0s")
def p0_crippled(stage: Stage) -> None:
    """Its prompt has lost the question's format."""
    spoil_prompts(stage, lambda e: replace(e, after=" ?"), ["p0"])


@sabotage("field", "P1 is crippled, so that retention looks high", "text_is_message")
def p1_crippled(stage: Stage) -> None:
    """Text, and its embeddings with it, lose the last three tokens of the message."""
    from lpca.evaluation.conditions import Setting
    from lpca.receivers.forward import Slot

    def cut(setting: Setting) -> list[tuple[int, ...]]:
        rows = [setting.receiver.message_ids(e.message) for e in setting.episodes]
        return [tuple(row[:-3]) for row in rows]

    stage.condition("p1", lambda s: [Slot(ids=row) for row in cut(s)])
    stage.condition("embed", lambda s: [Slot(vectors=s.receiver.embed(row)) for row in cut(s)])


TEXT = (
    paraphrase_in_prompt,
    base64_in_prompt,
    answer_in_prompt,
    answer_spelled_in_prompt,
    builder_adds_base64,
    order_gives_answer,
    right_option_first,
    length_gives_answer,
    position_gives_answer,
    mark_gives_answer,
    p0_crippled,
    p1_crippled,
)

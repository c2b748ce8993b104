from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.objectives.answer import answer_loss
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.training import Progress, Training
from lpca.receivers.model import Receiver
from lpca.tasks import Episode
from lpca.tasks.kinds.trip import Trip

SHORT = Recipe(stages=(Stage(4),), batch_size=3, warmup_steps=2, validation_every=2)


def train(receiver: Receiver, seed: int = 0, recipe: Recipe = SHORT, k: int = 2) -> Training:
    training = Training(receiver, Trip(), partial(TokenPooler, receiver, k), seed, recipe)
    training.run(lambda _: None)
    return training


def watched(training: Training) -> list[Episode]:
    """The validation episodes on which a training is watched."""
    size, seed = training.recipe.batch_size, training.seed
    return list(training.task.evaluation_set("validation", "seen", size, seed))


def same(one: TokenPooler, other: TokenPooler) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@torch.no_grad()
def slow_answer_loss(receiver: Receiver, training: Training, prefixes: Tensor) -> float:
    """One plain pass per episode: nats per token of all the answers' tokens together."""
    nats, tokens = 0.0, 0
    for episode, prefix in zip(watched(training), prefixes, strict=True):
        answer = receiver.option_ids(episode.right)
        before = receiver.embed(receiver.prompt_start_ids(episode.before))
        after = receiver.embed(receiver.segment_ids(episode.after) + answer)
        whole = torch.cat([before, prefix, after])
        logits = receiver.model(inputs_embeds=whole[None], use_cache=False).logits[0]
        steps = logits.log_softmax(-1)[-len(answer) - 1 : -1]
        nats -= sum(float(steps[i, token]) for i, token in enumerate(answer))
        tokens += len(answer)
    return nats / tokens


def test_the_loss_is_that_of_its_definition(receiver: Receiver) -> None:
    training = Training(
        receiver, Trip(), partial(TokenPooler, receiver, 3), 0, replace(SHORT, batch_size=6)
    )
    episodes = watched(training)
    assert len({len(receiver.option_ids(e.right)) for e in episodes}) > 2
    assert len({len(e.before) for e in episodes}) > 2
    with torch.no_grad():
        prefixes = training.codec.decode(training.codec.encode([e.message for e in episodes]))
    found = float(answer_loss(receiver, episodes, prefixes))
    assert found == pytest.approx(slow_answer_loss(receiver, training, prefixes), abs=1e-4)


def test_the_gap_is_that_of_another_episodes_message(receiver: Receiver) -> None:
    training = train(receiver)
    messages = [e.message for e in watched(training)]
    with torch.no_grad():
        right = training.codec.decode(training.codec.encode(messages))
        wrong = training.codec.decode(training.codec.encode([*messages[1:], messages[0]]))
    wanted = slow_answer_loss(receiver, training, wrong) - slow_answer_loss(
        receiver, training, right
    )
    assert training.gap() == pytest.approx(wanted, abs=1e-4)


def test_the_same_seed_gives_the_same_codec_bit_for_bit(receiver: Receiver) -> None:
    torch.manual_seed(1)
    first = train(receiver)
    torch.manual_seed(2)
    second = train(receiver)
    assert same(first.codec, second.codec)
    assert first.history == second.history


@pytest.mark.parametrize("change", [{"seed": 1}, {"recipe": replace(SHORT, learning_rate=1e-2)}])
def test_another_seed_or_configuration_gives_another_codec(
    llama: Receiver, change: dict[str, object]
) -> None:
    assert not same(train(llama).codec, train(llama, **change).codec)  # type: ignore[arg-type]


def test_every_parameter_is_trained(llama: Receiver) -> None:
    start = Training(llama, Trip(), partial(TokenPooler, llama, 2), 0, SHORT).codec.state_dict()
    end = train(llama).codec.state_dict()
    assert not [name for name, value in start.items() if torch.equal(value, end[name])]


def test_training_does_not_disturb_the_global_generator(llama: Receiver) -> None:
    torch.manual_seed(9)
    train(llama)
    after = torch.rand(3)
    torch.manual_seed(9)
    assert torch.equal(torch.rand(3), after)


def test_the_receiver_stays_bit_for_bit_as_it_was(receiver: Receiver) -> None:
    before = receiver.state_hash()
    train(receiver)
    assert receiver.state_hash() == before
    assert all(p.grad is None and not p.requires_grad for p in receiver.model.parameters())
    assert not receiver.model.training


def test_the_loss_goes_down(llama: Receiver) -> None:
    recipe = Recipe(stages=(Stage(30),), batch_size=8, learning_rate=1e-2, validation_every=30)
    training = train(llama, recipe=recipe, k=4)
    # of the first batch before and after: other batches are harder or easier by more than this
    episodes = training.task.training_batch(0, recipe.batch_size, 0)
    with torch.no_grad():
        prefixes = training.codec.decode(training.codec.encode([e.message for e in episodes]))
        after = float(answer_loss(llama, episodes, prefixes))
    assert after < training.history[0].loss - 0.5


def test_progress_counts_steps_and_measures_the_gap_now_and_at_the_end(llama: Receiver) -> None:
    reported: list[Progress] = []
    training = Training(
        llama, Trip(), partial(TokenPooler, llama, 2), 0, replace(SHORT, stages=(Stage(5),))
    )
    training.run(reported.append)
    assert reported == training.history
    assert [p.step for p in reported] == [1, 2, 3, 4, 5]
    assert [p.gap is not None for p in reported] == [False, True, False, True, True]
    assert all(math.isfinite(p.loss) for p in reported)


def test_each_step_trains_on_fresh_episodes(llama: Receiver) -> None:
    asked: list[tuple[int, int, int]] = []

    class Watched(Trip):
        def training_batch(self, step: int, size: int, seed: int):  # type: ignore[no-untyped-def]
            asked.append((step, size, seed))
            return super().training_batch(step, size, seed)

    Training(llama, Watched(), partial(TokenPooler, llama, 2), 7, SHORT).run(lambda _: None)
    assert asked == [(0, 3, 7), (1, 3, 7), (2, 3, 7), (3, 3, 7)]

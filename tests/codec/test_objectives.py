"""Each loss against its definition, computed one episode at a time, without batch or cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lpca.codec.objectives import OBJECTIVES, Batch
from lpca.codec.objectives.answer import CONTENT_WEIGHT, LEAD, REQUEST
from lpca.codec.objectives.comparing import MARGIN, NEGATIVES
from lpca.codec.recipe import OBJECTIVES as NAMES
from lpca.receivers.model import Receiver
from lpca.tasks import Episode
from lpca.tasks.kinds.trip import Trip

K = 3


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return list(Trip().training_batch(0, 5, 0))


def prefixes_for(receiver: Receiver, count: int, seed: int = 0) -> Tensor:
    noise = torch.randn(count, K, receiver.d_model, generator=torch.Generator().manual_seed(seed))
    unit = receiver.mean_embedding_norm / receiver.d_model**0.5
    return (noise * unit).requires_grad_()


def loss(name: str, receiver: Receiver, episodes: Sequence[Episode], seed: int = 0) -> float:
    batch = Batch(receiver, episodes, prefixes_for(receiver, len(episodes)), seed)
    return float(OBJECTIVES[name](batch).detach())


@torch.no_grad()
def log_probs(receiver: Receiver, parts: Sequence[Tensor | str], said: list[int]) -> Tensor:
    """[len(said), vocabulary]: what B says at each token of `said`, after text and vectors."""
    rows: list[Tensor] = []
    for part in parts:
        if isinstance(part, Tensor):
            rows.append(part)
        elif not rows:
            rows.append(receiver.embed(receiver.prompt_start_ids(part)))
        else:
            rows.append(receiver.embed(receiver.segment_ids(part)))
    whole = torch.cat([*rows, receiver.embed(said)])
    logits = receiver.model(inputs_embeds=whole[None], use_cache=False).logits[0]
    return logits.double().log_softmax(-1)[-len(said) - 1 : -1]


def answered(receiver: Receiver, episode: Episode, slot: Tensor | str) -> Tensor:
    ids = receiver.option_ids(episode.right)
    return log_probs(receiver, [episode.before, slot, episode.after], ids)


def nats(receiver: Receiver, episode: Episode, slot: Tensor | str) -> list[float]:
    """-log p of each token of the right answer."""
    ids = receiver.option_ids(episode.right)
    return [-float(row[t]) for row, t in zip(answered(receiver, episode, slot), ids, strict=True)]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def own(receiver: Receiver, episodes: Sequence[Episode]) -> list[tuple[Episode, Tensor]]:
    return list(zip(episodes, prefixes_for(receiver, len(episodes)).detach(), strict=True))


def test_answer(receiver: Receiver, episodes: list[Episode]) -> None:
    wanted = [n for e, prefix in own(receiver, episodes) for n in nats(receiver, e, prefix)]
    assert len({len(receiver.option_ids(e.right)) for e in episodes}) > 1
    assert loss("answer", receiver, episodes) == pytest.approx(mean(wanted), abs=1e-4)


@pytest.mark.parametrize(("frame", "start", "end"), [("{}", 1, 0), ("<{}!>", 2, 2)])
def test_answer_content_weighs_what_tells_options_apart(
    receiver: Receiver, episodes: list[Episode], frame: str, start: int, end: int
) -> None:
    """One token is one byte here: a space and the frame are what all options share."""
    apart = [e for e in episodes if all(len({o[i] for o in e.options}) > 1 for i in (0, -1))]
    assert len(apart) > 1
    framed = [replace(e, options=tuple(map(frame.format, e.options))) for e in apart]
    total = weight = 0.0
    for episode, prefix in own(receiver, framed):
        tokens = nats(receiver, episode, prefix)
        for place, value in enumerate(tokens):
            form = place < start or place >= len(tokens) - end
            by = 1.0 if form else CONTENT_WEIGHT
            total, weight = total + by * value, weight + by
    assert loss("answer_content", receiver, framed) == pytest.approx(total / weight, abs=1e-4)
    assert loss("answer_content", receiver, framed) != pytest.approx(
        loss("answer", receiver, framed), abs=2e-4
    )


def test_answer_content_of_an_answer_that_is_part_of_all_others(llama: Receiver) -> None:
    [episode] = Trip().training_batch(0, 1, 0)
    nested = replace(episode, options=("Ro", "Rome", "Roma", "Ror"), answer=0)
    assert loss("answer_content", llama, [nested]) == pytest.approx(
        loss("answer", llama, [nested]), abs=1e-5
    )


def divergence(teacher: Tensor, student: Tensor) -> float:
    return sum(
        float(p.exp()) * (float(p) - float(q)) for p, q in zip(teacher, student, strict=True)
    )


@pytest.mark.parametrize("name", ["kl_one_step", "kl"])
def test_distillation(receiver: Receiver, episodes: list[Episode], name: str) -> None:
    found = []
    for episode, prefix in own(receiver, episodes):
        teacher = answered(receiver, episode, f" {episode.message}")
        student = answered(receiver, episode, prefix)
        steps = 1 if name == "kl_one_step" else len(teacher)
        found += [divergence(teacher[i], student[i]) for i in range(steps)]
    assert loss(name, receiver, episodes) == pytest.approx(mean(found), abs=1e-4)


def test_distillation_is_nothing_where_the_prefix_is_the_message(llama: Receiver) -> None:
    [episode] = Trip().training_batch(0, 1, 0)
    prefix = llama.embed(llama.message_ids(episode.message))[None]
    for name in ("kl", "kl_one_step"):
        assert float(OBJECTIVES[name](Batch(llama, [episode], prefix))) == pytest.approx(
            0, abs=1e-5
        )


def test_help(receiver: Receiver, episodes: list[Episode]) -> None:
    null = torch.zeros(K, receiver.d_model)
    wanted = [
        max(0.0, mean(nats(receiver, e, prefix)) - mean(nats(receiver, e, null)) + MARGIN)
        for e, prefix in own(receiver, episodes)
    ]
    assert loss("help", receiver, episodes) == pytest.approx(mean(wanted), abs=1e-4)


def test_shuffle_contrast_of_two(receiver: Receiver, episodes: list[Episode]) -> None:
    pair = own(receiver, episodes[:2])
    wanted = []
    for (episode, prefix), (_, other) in zip(pair, pair[::-1], strict=True):
        gap = mean(nats(receiver, episode, other)) - mean(nats(receiver, episode, prefix))
        wanted.append(max(0.0, MARGIN - gap))
    assert loss("shuffle_contrast", receiver, episodes[:2]) == pytest.approx(mean(wanted), abs=1e-4)


def test_a_shuffle_never_brings_a_message_with_the_same_answer(
    receiver: Receiver, episodes: list[Episode]
) -> None:
    first, other = episodes[:2]
    twice = [first, replace(first, message=first.paraphrase), other]
    known = own(receiver, twice)

    def hinge(i: int, j: int) -> float:
        episode, prefix = known[i]
        gap = mean(nats(receiver, episode, known[j][1])) - mean(nats(receiver, episode, prefix))
        return max(0.0, MARGIN - gap)

    # the third is the only donor of the first two; either of these may be the third's
    allowed = [mean([hinge(0, 2), hinge(1, 2), hinge(2, donor)]) for donor in (0, 1)]
    found = {loss("shuffle_contrast", receiver, twice, seed) for seed in range(12)}
    assert len(found) == 2
    for value in found:
        assert min(abs(value - one) for one in allowed) < 1e-4


def test_info_nce(receiver: Receiver, episodes: list[Episode]) -> None:
    assert len(episodes) == NEGATIVES
    known = own(receiver, episodes)
    wanted = []
    for i, (episode, _) in enumerate(known):
        scores = torch.tensor([-sum(nats(receiver, episode, prefix)) for _, prefix in known])
        wanted.append(-float(scores.double().log_softmax(0)[i]))
    assert loss("info_nce", receiver, episodes) == pytest.approx(mean(wanted), abs=1e-3)


def test_info_nce_takes_no_message_with_the_same_answer(
    receiver: Receiver, episodes: list[Episode]
) -> None:
    first, other = episodes[:2]
    twice = [first, replace(first, message=first.paraphrase), other]
    known = own(receiver, twice)
    wanted = []
    for i, rivals in ((0, [2]), (1, [2]), (2, [0, 1])):
        scores = [-sum(nats(receiver, twice[i], known[j][1])) for j in (i, *rivals)]
        wanted.append(-float(torch.tensor(scores).double().log_softmax(0)[0]))
    assert loss("info_nce", receiver, twice) == pytest.approx(mean(wanted), abs=1e-3)


def test_info_nce_draws_so_many_negatives_by_its_seed(llama: Receiver) -> None:
    many = list(Trip().training_batch(0, 12, 0))
    found = [loss("info_nce", llama, many, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    known = own(llama, many)
    scores = torch.tensor([[-sum(nats(llama, e, prefix)) for _, prefix in known] for e in many])
    right = scores.diagonal()[:, None]
    others = scores[~torch.eye(12, dtype=torch.bool)].view(12, 11).sort(1).values
    for value in found:
        # between the five easiest and the five hardest of eleven
        bounds = [
            -torch.cat([right, part], 1).log_softmax(1)[:, 0].mean()
            for part in (others[:, :NEGATIVES], others[:, -NEGATIVES:])
        ]
        assert float(bounds[0]) < value < float(bounds[1])


@pytest.mark.parametrize("name", ["info_nce", "shuffle_contrast"])
def test_without_another_answer_there_is_nothing_to_contrast(llama: Receiver, name: str) -> None:
    [episode] = Trip().training_batch(0, 1, 0)
    same = [episode, replace(episode, message=episode.paraphrase)]
    batch = Batch(llama, same, prefixes_for(llama, 2))
    value = OBJECTIVES[name](batch)
    assert float(value.detach()) == 0.0
    value.backward()  # type: ignore[no-untyped-call]


def test_message_reconstruction(receiver: Receiver, episodes: list[Episode]) -> None:
    wanted: list[float] = []
    for episode, prefix in own(receiver, episodes):
        ids = receiver.message_ids(episode.message)
        rows = log_probs(receiver, [LEAD, prefix, REQUEST], ids)
        wanted += [-float(row[t]) for row, t in zip(rows, ids, strict=True)]
    assert loss("message_reconstruction", receiver, episodes) == pytest.approx(
        mean(wanted), abs=1e-4
    )


def test_of_a_long_message_the_start_is_to_be_said(
    llama: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lpca.codec.objectives.answer.LONGEST", 9)
    [episode] = Trip().training_batch(0, 1, 0)
    short = replace(episode, message=episode.message[:8])  # a space comes before it
    assert len(episode.message) > 9
    assert loss("message_reconstruction", llama, [episode]) == loss(
        "message_reconstruction", llama, [short]
    )


def message_mean(receiver: Receiver, episode: Episode) -> list[float]:
    rows = receiver.embed(receiver.message_ids(episode.message)).double().tolist()
    return [mean(column) for column in zip(*rows, strict=True)]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    def dot(a: Sequence[float], b: Sequence[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    return dot(one, other) / (dot(one, one) * dot(other, other)) ** 0.5


def test_mse(receiver: Receiver, episodes: list[Episode]) -> None:
    wanted = [
        (mean(column) - target) ** 2
        for episode, prefix in own(receiver, episodes)
        for column, target in zip(
            zip(*prefix.tolist(), strict=True), message_mean(receiver, episode), strict=True
        )
    ]
    assert loss("mse", receiver, episodes) == pytest.approx(mean(wanted), rel=1e-4)


@pytest.mark.parametrize("name", ["similarity", "diversity"])
def test_geometry(receiver: Receiver, episodes: list[Episode], name: str) -> None:
    known = own(receiver, episodes)
    wanted = []
    for i, (one, z) in enumerate(known):
        for j, (other, y) in enumerate(known):
            if i == j:
                continue
            found = cosine(z.flatten().tolist(), y.flatten().tolist())
            like = cosine(message_mean(receiver, one), message_mean(receiver, other))
            wanted.append((found - (like if name == "similarity" else 0.0)) ** 2)
    assert loss(name, receiver, episodes) == pytest.approx(mean(wanted), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_reaches_the_prefix_and_never_the_receiver(
    llama: Receiver, episodes: list[Episode], name: str
) -> None:
    prefixes = prefixes_for(llama, len(episodes))
    before = llama.state_hash()
    OBJECTIVES[name](Batch(llama, episodes, prefixes)).backward()  # type: ignore[no-untyped-call]
    assert prefixes.grad is not None
    assert bool(torch.isfinite(prefixes.grad).all())
    assert bool((prefixes.grad.flatten(1).norm(dim=1) > 0).all())
    assert all(p.grad is None for p in llama.model.parameters())
    assert llama.state_hash() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_step_down_the_gradient_lowers_the_loss(
    llama: Receiver, episodes: list[Episode], name: str
) -> None:
    prefixes = prefixes_for(llama, len(episodes))
    before = OBJECTIVES[name](Batch(llama, episodes, prefixes))
    before.backward()  # type: ignore[no-untyped-call]
    assert prefixes.grad is not None
    with torch.no_grad():
        moved = prefixes - 1e-3 * prefixes.grad / prefixes.grad.norm() * prefixes.norm()
    assert float(OBJECTIVES[name](Batch(llama, episodes, moved))) < float(before.detach())


def test_objectives_share_what_they_read(
    llama: Receiver, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B reads each of: own prefix, text, null, five negatives; and the message's own prompt."""
    passes = 0
    honest = llama.model.forward

    def counted(*arguments: object, **named: object) -> object:
        nonlocal passes
        passes += 1
        return honest(*arguments, **named)

    monkeypatch.setattr(llama.model, "forward", counted)
    batch = Batch(llama, [*episodes, *Trip().training_batch(1, 2, 0)], prefixes_for(llama, 7))
    for name in NAMES:
        OBJECTIVES[name](batch)
    assert passes == 1 + 1 + 1 + 1 + NEGATIVES + 2

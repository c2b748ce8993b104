"""Reading against its definition: one plain forward pass per option, no cache, no padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lpca.evaluation.outcome import InputRecorder
from lpca.receivers.forward import Slot, read_context
from lpca.receivers.model import Receiver

BEFORES = ("List: Rome, Oslo.", "L", "List: Santiago, Rio, Lima, Accra.", "abc")
MESSAGES = ("We go to Rome.", "x", "I am moving to Santiago, friend.", "no")
AFTERS = ("\nWhere? To", " ?", "\nTo", "\nQuestion: where to? Answer: to")
OPTIONS = (("Rome", "Oslo", "O"), ("a", "b"), ("Santiago", "Rio", "Lima", "Accra"), ("Q", "Quito"))


def rows(receiver: Receiver) -> tuple[list[list[int]], list[list[int]], list[list[list[int]]]]:
    befores = [receiver.prompt_start_ids(text) for text in BEFORES]
    afters = [receiver.segment_ids(text) for text in AFTERS]
    options = [[receiver.option_ids(o)[1:] for o in row] for row in OPTIONS]
    return befores, afters, options


def make_slots(receiver: Receiver, kind: str) -> list[Slot]:
    ids = [receiver.message_ids(message) for message in MESSAGES]
    if kind == "nothing":
        return [Slot() for _ in ids]
    if kind == "tokens":
        return [Slot(ids=tuple(row)) for row in ids]
    if kind == "embeddings":
        return [Slot(vectors=receiver.embed(row)) for row in ids]
    generator = torch.Generator().manual_seed(1)
    return [
        Slot(vectors=torch.randn(k, receiver.d_model, generator=generator)) for k in (4, 1, 7, 3)
    ]


KINDS = ("nothing", "tokens", "embeddings", "vectors")


def whole_prompt(receiver: Receiver, before: list[int], slot: Slot, after: list[int]) -> Tensor:
    """Embeddings [length, d_model] of one prompt, put together by hand."""
    middle = receiver.embed(slot.ids) if slot.vectors is None else slot.vectors
    return torch.cat([receiver.embed(before), middle, receiver.embed(after)])


@torch.no_grad()
def plain_logits(receiver: Receiver, embeddings: Tensor) -> Tensor:
    output = receiver.model(inputs_embeds=embeddings[None], use_cache=False)
    return torch.as_tensor(output.logits[0].float())


def plain_score(receiver: Receiver, prompt: Tensor, option: list[int]) -> float:
    logits = plain_logits(receiver, torch.cat([prompt, receiver.embed(option)]))
    steps = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return sum(float(steps[i, token]) for i, token in enumerate(option))


def plain_greedy(receiver: Receiver, prompt: Tensor, limit: int) -> list[int]:
    said: list[int] = []
    while len(said) < limit:
        token = int(plain_logits(receiver, prompt)[-1].argmax())
        if token in receiver.end_ids:
            break
        said.append(token)
        prompt = torch.cat([prompt, receiver.embed([token])])
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_option_scores_are_summed_log_probabilities(receiver: Receiver, kind: str) -> None:
    befores, afters, options = rows(receiver)
    slots = make_slots(receiver, kind)
    scores = read_context(receiver, befores).read(slots, afters, options).option_scores(options)
    assert {len(ids) for row in options for ids in row} >= {1, 4, 8}
    for before, slot, after, row, found in zip(
        befores, slots, afters, options, scores, strict=True
    ):
        prompt = whole_prompt(receiver, before, slot, after)
        wanted = [plain_score(receiver, prompt, option) for option in row]
        assert found == pytest.approx(wanted, abs=1e-4)


def test_options_of_one_token_each(receiver: Receiver) -> None:
    befores, afters, _ = rows(receiver)
    slots = make_slots(receiver, "vectors")
    options = [[[5], [9]], [[9]], [[7], [5]], [[3], [4], [5]]]
    scores = read_context(receiver, befores).read(slots, afters, options).option_scores(options)
    for before, slot, after, row, found in zip(
        befores, slots, afters, options, scores, strict=True
    ):
        logits = plain_logits(receiver, whole_prompt(receiver, before, slot, after))[-1]
        wanted = [float(logits.log_softmax(-1)[ids[0]]) for ids in row]
        assert found == pytest.approx(wanted, abs=1e-4)


def test_an_option_scores_the_same_whatever_stands_beside_it(receiver: Receiver) -> None:
    befores, afters, options = rows(receiver)
    context, slots = read_context(receiver, befores), make_slots(receiver, "tokens")

    def scored(rows: list[list[list[int]]]) -> list[list[float]]:
        return context.read(slots, afters, rows).option_scores(rows)

    together = scored(options)
    reversed_ = scored([row[::-1] for row in options])
    alone = [[scored([[o]] * len(options))[i][0] for o in row] for i, row in enumerate(options)]
    for a, b, c in zip(together, reversed_, alone, strict=True):
        assert a == pytest.approx(b[::-1], abs=1e-4)
        assert a == pytest.approx(c, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_with_a_cache_is_greedy_with_full_recomputation(
    receiver: Receiver, kind: str
) -> None:
    befores, afters, _ = rows(receiver)
    slots = make_slots(receiver, kind)
    said = read_context(receiver, befores).read(slots, afters).continuations(10)
    for before, slot, after, ids in zip(befores, slots, afters, said, strict=True):
        assert ids == plain_greedy(receiver, whole_prompt(receiver, before, slot, after), 10)
    assert max(map(len, said)) == 10
    assert len({tuple(ids) for ids in said}) > 1


def test_scoring_leaves_the_reading_as_it_was(receiver: Receiver) -> None:
    befores, afters, options = rows(receiver)
    context = read_context(receiver, befores)
    slots = make_slots(receiver, "vectors")
    untouched = context.read(slots, afters).continuations(6)
    reading = context.read(slots, afters, options)
    first = reading.option_scores(options)
    assert reading.continuations(6) == untouched
    assert reading.option_scores(options) == first
    context.read(make_slots(receiver, "nothing"), afters).continuations(6)
    assert context.read(slots, afters, options).option_scores(options) == first


def test_injected_embeddings_read_like_their_tokens(receiver: Receiver) -> None:
    befores, afters, _ = rows(receiver)
    context = read_context(receiver, befores)
    tokens = context.read(make_slots(receiver, "tokens"), afters).logits
    injected = context.read(make_slots(receiver, "embeddings"), afters).logits
    nothing = context.read(make_slots(receiver, "nothing"), afters).logits
    torch.testing.assert_close(injected, tokens, atol=1e-4, rtol=0)
    assert float((nothing - tokens).abs().max()) > 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [(0,), (3,), (2, 0), (3, 1, 0, 2)])
def test_a_row_does_not_depend_on_its_neighbours(
    receiver: Receiver, kind: str, order: tuple[int, ...]
) -> None:
    befores, afters, options = rows(receiver)
    slots = make_slots(receiver, kind)
    whole = read_context(receiver, befores).read(slots, afters, options)
    part = read_context(receiver, [befores[i] for i in order]).read(
        [slots[i] for i in order], [afters[i] for i in order], [options[i] for i in order]
    )
    torch.testing.assert_close(part.logits, whole.logits[list(order)], atol=1e-4, rtol=0)
    scores = whole.option_scores(options)
    for i, row in zip(order, part.option_scores([options[i] for i in order]), strict=True):
        assert row == pytest.approx(scores[i], abs=1e-4)
    said = whole.continuations(6)
    assert part.continuations(6) == [said[i] for i in order]


def test_slots_of_different_lengths_and_empty_ones_share_a_batch(receiver: Receiver) -> None:
    befores, afters, _ = rows(receiver)
    vectors = make_slots(receiver, "vectors")
    slots = [vectors[0], Slot(vectors=torch.zeros(0, receiver.d_model)), *vectors[2:]]
    logits = read_context(receiver, befores).read(slots, afters).logits
    for before, slot, after, row in zip(befores, slots, afters, logits, strict=True):
        wanted = plain_logits(receiver, whole_prompt(receiver, before, slot, after))[-1]
        torch.testing.assert_close(row, wanted, atol=1e-4, rtol=0)


def test_tokens_and_vectors_in_one_batch_are_refused(llama: Receiver) -> None:
    slots = [Slot(ids=(3, 4)), Slot(vectors=torch.zeros(2, llama.d_model))]
    context = read_context(llama, [[5, 6], [7]])
    with pytest.raises(ValueError, match="not both"):
        context.read(slots, [[1], [2]])


def test_continuation_logits_are_those_of_a_plain_pass(receiver: Receiver) -> None:
    befores, afters, _ = rows(receiver)
    slots = make_slots(receiver, "vectors")
    found = read_context(receiver, befores).continuation_logits(slots, afters, keep=2)
    for before, slot, after, row in zip(befores, slots, afters, found, strict=True):
        wanted = plain_logits(receiver, whole_prompt(receiver, before, slot, after))[-2:]
        torch.testing.assert_close(row, wanted, atol=1e-4, rtol=0)


def test_the_gradient_at_the_slot_is_the_finite_difference(receiver: Receiver) -> None:
    befores, afters, _ = rows(receiver)
    base = [slot.vectors for slot in make_slots(receiver, "vectors")]
    context = read_context(receiver, befores)

    def score(vectors: list[Tensor]) -> Tensor:
        slots = [Slot(vectors=v) for v in vectors]
        logits = context.continuation_logits(slots, afters, keep=1)[:, -1]
        return logits.log_softmax(-1)[:, 7].sum()

    leaves = [v.clone().requires_grad_(True) for v in base]
    gradients = torch.autograd.grad(score(leaves), leaves)
    assert all(float(g.norm(dim=1).min()) > 0 for g in gradients)
    row, step = 2, 1e-2
    vector, coordinate = divmod(int(gradients[row].abs().argmax()), receiver.d_model)
    moved = []
    for sign in (1, -1):
        vectors = [v.clone() for v in base]
        vectors[row][vector, coordinate] += sign * step
        moved.append(float(score(vectors)))
    slope = (moved[0] - moved[1]) / (2 * step)
    assert slope == pytest.approx(float(gradients[row][vector, coordinate]), rel=0.02)


class TestStopping:
    @pytest.fixture
    def said(self, llama: Receiver) -> list[list[int]]:
        befores, afters, _ = rows(llama)
        return (
            read_context(llama, befores).read(make_slots(llama, "tokens"), afters).continuations(8)
        )

    def test_an_end_token_ends_its_row_alone_and_is_not_kept(
        self, llama: Receiver, said: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, step = max(
            ((i, j) for i, ids in enumerate(said) for j, t in enumerate(ids) if ids.index(t) == j),
            key=lambda place: place[1],
        )
        end = said[row][step]
        assert step >= 2
        monkeypatch.setitem(llama.__dict__, "end_ids", frozenset({end}))
        befores, afters, _ = rows(llama)
        reading = read_context(llama, befores).read(make_slots(llama, "tokens"), afters)
        wanted = [ids[: ids.index(end)] if end in ids else ids for ids in said]
        assert reading.continuations(8) == wanted

    def test_the_models_own_end_token_ends_a_row(self, llama: Receiver) -> None:
        assert llama.end_ids == {0}

    def test_a_decided_row_says_no_more(self, llama: Receiver, said: list[list[int]]) -> None:
        befores, afters, _ = rows(llama)
        reading = read_context(llama, befores).read(make_slots(llama, "tokens"), afters)
        stops = {0: 1, 1: 3, 2: 100, 3: 2}
        found = reading.continuations(8, lambda row, ids: len(ids) == stops[row])
        assert found == [ids[: stops[i]] for i, ids in enumerate(said)]

    def test_nothing_is_computed_once_all_rows_are_decided(self, llama: Receiver) -> None:
        befores, afters, _ = rows(llama)
        reading = read_context(llama, befores).read(make_slots(llama, "tokens"), afters)
        with InputRecorder(llama) as tap:
            reading.continuations(8, lambda _row, _ids: True)
        assert tap.calls == []


def test_a_batch_is_scored_in_two_passes_however_many_options(llama: Receiver) -> None:
    befores, afters, options = rows(llama)
    with InputRecorder(llama) as tap:
        slots = make_slots(llama, "tokens")
        read_context(llama, befores).read(slots, afters, options).option_scores(options)
    assert len(tap.calls) == 2


class TestFollowingTheTree:
    """What B says is the same whatever options were read with its prompt."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("kept", [0, 1, 3, 10])
    def test_an_option_that_b_says_changes_nothing(
        self, receiver: Receiver, kind: str, kept: int
    ) -> None:
        befores, afters, options = rows(receiver)
        slots = make_slots(receiver, kind)
        context = read_context(receiver, befores)
        said = context.read(slots, afters).continuations(10)
        # the first options go the way B goes, some of them and some of the way
        ways = [[[*ids[:kept], 5, 6], *row] for ids, row in zip(said, options, strict=True)]
        assert context.read(slots, afters, ways).continuations(10) == said

    def test_what_stands_in_the_tree_is_not_computed_again(self, llama: Receiver) -> None:
        befores, afters, _ = rows(llama)
        context, slots = read_context(llama, befores), make_slots(llama, "tokens")
        said = context.read(slots, afters).continuations(6)
        assert all(len(ids) == 6 for ids in said)
        with InputRecorder(llama) as tap:
            assert context.read(slots, afters, [[ids] for ids in said]).continuations(6) == said
            assert len(tap.calls) == 1
            context.read(slots, afters, [[ids[:5]] for ids in said]).continuations(6)
            assert len(tap.calls) == 3

    def test_options_that_begin_alike_stand_there_once(self, llama: Receiver) -> None:
        befores, afters, _ = rows(llama)
        options = [[[3, 4, 5], [3, 4, 6, 7], [3, 9]], [[1, 2]], [[8]], [[2, 2, 2]]]
        with InputRecorder(llama) as tap:
            slots = make_slots(llama, "tokens")
            reading = read_context(llama, befores).read(slots, afters, options)
        widest = max(len(s) + len(a) for s, a in zip(slots, afters, strict=True))
        assert tap.calls[1].columns == widest + 3
        assert reading.at.shape[1] == 1 + 3


def test_an_option_that_was_not_read_has_no_score(llama: Receiver) -> None:
    befores, afters, options = rows(llama)
    reading = read_context(llama, befores).read(make_slots(llama, "tokens"), afters, options)
    with pytest.raises(KeyError):
        reading.option_scores([[[71, 72, 73]]] * len(options))

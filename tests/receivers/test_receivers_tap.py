from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from tiny import save_tiny

from lpca.evaluation.outcome import (
    INJECTED,
    InputRecorder,
    ReceivedPrompt,
    canonical_ids,
)
from lpca.receivers.forward import Slot, read_context
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver

BEFORES = ([11, 12, 13], [14], [15, 16, 17, 18, 19])
AFTERS = ([21, 22], [23, 24, 25], [26])


OPTIONS = ([[41, 42, 43], [44, 45]], [[46]], [[47, 48]])


def given(receiver: Receiver, slots: list[Slot]) -> list[ReceivedPrompt]:
    with InputRecorder(receiver) as tap:
        read_context(receiver, BEFORES).read(slots, AFTERS)
    return tap.prompts([len(slot) for slot in slots])


def test_tokens_come_out_as_they_went_in(receiver: Receiver) -> None:
    slots = [Slot(ids=(31, 32)), Slot(), Slot(ids=(33,))]
    for before, slot, after, row in zip(
        BEFORES, slots, AFTERS, given(receiver, slots), strict=True
    ):
        start = len(before)
        assert row == ReceivedPrompt((*before, *slot.ids, *after), start, start + len(slot))


def test_vectors_come_out_as_their_norms_and_hash(receiver: Receiver) -> None:
    vectors = [torch.randn(n, receiver.d_model) for n in (2, 1, 4)]
    rows = given(receiver, [Slot(vectors=v) for v in vectors])
    for before, wanted, after, row in zip(BEFORES, vectors, AFTERS, rows, strict=True):
        assert row.ids == (*before, *[INJECTED] * len(wanted), *after)
        assert (row.start, row.stop) == (len(before), len(before) + len(wanted))
        assert row.norms == pytest.approx(wanted.norm(dim=1).tolist(), abs=1e-5)
        assert row.sha256 == hashlib.sha256(wanted.numpy().tobytes()).hexdigest()


def test_injected_embeddings_are_recognised_as_their_tokens(receiver: Receiver) -> None:
    ids = [(31, 32), (33,), (34, 35, 36)]
    rows = given(receiver, [Slot(vectors=receiver.embed(row)) for row in ids])
    for before, slot, after, row in zip(BEFORES, ids, AFTERS, rows, strict=True):
        assert row.ids == (*before, *slot, *after)
        assert len(row.norms) == len(slot)


@pytest.mark.parametrize("injected", [False, True])
def test_options_behind_a_prompt_are_no_part_of_what_b_was_given(
    receiver: Receiver, injected: bool
) -> None:
    ids = [(31, 32), (33,), (34, 35, 36)]
    slots = [Slot(vectors=receiver.embed(row)) if injected else Slot(ids=row) for row in ids]
    with InputRecorder(receiver) as tap:
        read_context(receiver, BEFORES).read(slots, AFTERS, OPTIONS)
    found = tap.prompts([2, 1, 3], options=3)
    assert found == given(receiver, slots)


def test_a_vector_just_beside_an_embedding_is_not_its_token(llama: Receiver) -> None:
    near = llama.embed([31, 32])
    near[1, 0] = torch.nextafter(near[1, 0], torch.tensor(torch.inf))
    rows = given(llama, [Slot(vectors=near)] * 3)
    assert all(row.ids[row.start : row.stop] == (31, INJECTED) for row in rows)


def test_zero_vectors_have_norm_zero(llama: Receiver) -> None:
    rows = given(llama, [Slot(vectors=torch.zeros(3, llama.d_model))] * 3)
    assert all(row.norms == (0.0, 0.0, 0.0) for row in rows)


def test_tokens_that_share_an_embedding_are_one_token(tmp_path: Path) -> None:
    receiver = load_receiver(str(save_tiny(tmp_path / "twins")), "cpu")
    table = receiver.embedding.weight
    with torch.no_grad():
        table[40], table[50] = table[31], table[31]
    slots = [Slot(ids=(50, 40)), Slot(ids=(31, 31)), Slot(ids=(40, 39))]
    tokens = given(receiver, slots)
    injected = given(receiver, [Slot(vectors=receiver.embed(slot.ids)) for slot in slots])
    assert [row.ids for row in tokens] == [row.ids for row in injected]
    assert tokens[0].ids[3:5] == (31, 31)
    assert canonical_ids(receiver, (50, 40, 39)) == (31, 31, 39)


def test_it_sees_what_reaches_the_model_not_what_was_asked_for(fresh_llama: Receiver) -> None:
    slots = [Slot(ids=(31, 32)), Slot(), Slot(ids=(33,))]
    asked = given(fresh_llama, slots)
    # Somebody between the reading and the model passes other ids on.
    fresh_llama.model.register_forward_pre_hook(_other_ids, with_kwargs=True)
    got = given(fresh_llama, slots)
    assert [row.ids for row in got] != [row.ids for row in asked]
    assert all(99 in row.ids for row in got)


def _other_ids(_module: object, args: object, inputs: dict[str, torch.Tensor]) -> object:
    changed = inputs["input_ids"].clone()
    changed[:, -1] = 99
    return args, {**inputs, "input_ids": changed}


@pytest.mark.parametrize("fails", [False, True])
def test_the_hook_is_gone_afterwards(llama: Receiver, fails: bool) -> None:
    before = len(llama.model._forward_pre_hooks)
    try:
        with InputRecorder(llama) as tap:
            assert len(llama.model._forward_pre_hooks) == before + 1
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert len(llama.model._forward_pre_hooks) == before
    read_context(llama, BEFORES)
    assert tap.calls == []

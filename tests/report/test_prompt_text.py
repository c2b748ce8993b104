"""Prompts as text: an injected vector can be told from a token."""

from __future__ import annotations

import torch

from lpca.evaluation.outcome import INJECTED, InputRecorder, ReceivedPrompt, as_text
from lpca.receivers.forward import Slot, read_context


def given(receiver, slot):
    """What a receiver was really given between two segments."""
    with InputRecorder(receiver) as tap:
        context = read_context(receiver, [receiver.prompt_start_ids("Go")])
        context.read([slot], [receiver.segment_ids(" now")])
        (row,) = tap.prompts([len(slot)])
    return row


def test_vectors_are_marked_and_tokens_are_not(llama):
    width = llama.d_model
    whole = as_text(llama, given(llama, Slot()))
    ids = llama.message_ids("there")
    message = llama.text(ids)
    assert "⟦" not in whole
    assert as_text(llama, given(llama, Slot(ids=tuple(ids)))).count(message) == 1
    vectors = torch.zeros(2, width)
    vectors[1, 0] = 3.0
    shown = as_text(llama, given(llama, Slot(vectors=vectors)))
    assert "⟦vector 1 of 2, norm 0.000⟧⟦vector 2 of 2, norm 3.000⟧" in shown
    assert shown.replace("⟦vector 1 of 2, norm 0.000⟧⟦vector 2 of 2, norm 3.000⟧", "") == whole


def test_embedded_text_is_marked_as_embedded(llama):
    ids = llama.message_ids("there")
    shown = as_text(llama, given(llama, Slot(vectors=llama.embed(ids))))
    assert f"⟦embedded:{llama.text(ids)}⟧" in shown


def test_a_token_among_vectors_and_a_vector_among_tokens_are_told(llama):
    token = llama.message_ids("there")[0]
    mixed = ReceivedPrompt((INJECTED, token, INJECTED), 1, 3, (1.0, 2.0), "x")
    shown = as_text(llama, mixed)
    assert shown.startswith("⟦vector⟧⟦vector 1 of 2, the embedding of ")
    assert shown.endswith("⟦vector 2 of 2, norm 2.000⟧")

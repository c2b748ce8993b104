from __future__ import annotations

import pytest
import torch

from lpca.receivers.model import Receiver, hidden_states

ROWS = [[11, 12, 13, 14, 15], [16], [17, 18, 19]]


@pytest.mark.parametrize("layer", [1, 2])
def test_they_are_the_models_own_hidden_states(receiver: Receiver, layer: int) -> None:
    for row, found in zip(ROWS, hidden_states(receiver, ROWS, layer), strict=True):
        with torch.no_grad():
            output = receiver.model(torch.tensor([row]), output_hidden_states=True)
        wanted = output.hidden_states[layer][0]
        assert found.shape == (len(row), receiver.d_model)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_padding_and_neighbours_change_nothing(receiver: Receiver) -> None:
    alone = [next(hidden_states(receiver, [row], 2)) for row in ROWS]
    for one, other in zip(alone, hidden_states(receiver, ROWS, 2), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_later_layers_are_not_run(receiver: Receiver) -> None:
    ran: list[int] = []
    layers = receiver.model.model.layers
    hooks = [
        layer.register_forward_pre_hook(lambda *_, index=index: ran.append(index))
        for index, layer in enumerate(layers)
    ]
    try:
        list(hidden_states(receiver, ROWS, 2))
    finally:
        for hook in hooks:
            hook.remove()
    assert ran == [0, 1]


def test_the_model_runs_whole_again_afterwards(receiver: Receiver) -> None:
    list(hidden_states(receiver, ROWS, 1))
    output = receiver.model(torch.tensor([ROWS[0]]), output_hidden_states=True)
    assert len(output.hidden_states) == receiver.layers + 1
    assert output.logits.shape[1] == len(ROWS[0])


def test_an_error_inside_the_model_is_not_swallowed(fresh_llama: Receiver) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken layer")

    fresh_llama.model.model.layers[0].register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="broken layer"):
        list(hidden_states(fresh_llama, ROWS, 2))

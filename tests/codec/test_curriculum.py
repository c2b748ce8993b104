"""Several objectives in one training, one after another, and interrupted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from lpca.codec import store
from lpca.codec.architectures import make_codec
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.store import Obtained, Request, obtain_codec
from lpca.codec.training import Progress, Training
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

NUMBERS = {"batch_size": 4, "warmup_steps": 1, "validation_every": 2}
STAGES = (
    Stage(3, {"message_reconstruction": 1.0}),
    Stage(3, {"answer": 1.0, "info_nce": 0.5, "shuffle_contrast": 0.5}),
)
INTERRUPTED: dict[str, Recipe] = {
    "curriculum": Recipe(stages=STAGES, **NUMBERS),  # type: ignore[arg-type]
    "vector_quantised": Recipe("vector_quantised", {"codebook": 16}, STAGES, **NUMBERS),  # type: ignore[arg-type]
    "residual_vq": Recipe("residual_vq", {"codebook": 8}, STAGES, **NUMBERS),  # type: ignore[arg-type]
    "memory_tokens": Recipe("memory_tokens", {"lora": 2}, STAGES, **NUMBERS),  # type: ignore[arg-type]
}


def trained(receiver: Receiver, recipe: Recipe) -> Training:
    make = partial(make_codec, receiver, 2, recipe)
    training = Training(receiver, Trip(), make, 0, recipe)
    training.run(lambda _: None)
    return training


def first(receiver: Receiver, objective: dict[str, float]) -> tuple[Progress, torch.Tensor]:
    """The first step's record, and its gradient of the queries before it was clipped away."""
    recipe = Recipe(stages=(Stage(1, objective),), batch_size=4)
    training = trained(receiver, recipe)
    queries = training.codec.get_parameter("queries")
    assert queries.grad is not None
    return training.history[0], queries.grad.clone()


def test_the_loss_is_the_weighted_sum_of_the_objectives(
    llama: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", lambda *_: None)
    answer, by_answer = first(llama, {"answer": 1.0})
    contrast, by_contrast = first(llama, {"info_nce": 1.0})
    both, by_both = first(llama, {"answer": 0.5, "info_nce": 2.0, "mse": 0.0})
    assert both.objectives == {**answer.objectives, **contrast.objectives}
    assert both.loss == pytest.approx(0.5 * answer.loss + 2 * contrast.loss, rel=1e-5)
    assert torch.allclose(by_both, 0.5 * by_answer + 2 * by_contrast, rtol=1e-3, atol=1e-6)


def test_each_stage_has_its_own_objectives(llama: Receiver) -> None:
    history = trained(llama, INTERRUPTED["curriculum"]).history
    early = {"message_reconstruction"}
    late = {"answer", "info_nce", "shuffle_contrast"}
    assert [set(progress.objectives) for progress in history] == [early] * 3 + [late] * 3


def test_a_first_stage_is_the_training_that_ends_with_it(llama: Receiver) -> None:
    """Up to the learning rate, which falls over the whole curriculum."""
    whole = replace(INTERRUPTED["curriculum"], warmup_steps=6)
    alone = replace(whole, stages=STAGES[:1])
    assert [p.loss for p in trained(llama, whole).history[:3]] == [
        p.loss for p in trained(llama, alone).history
    ]


def test_what_the_codec_adds_stands_beside_the_objectives(llama: Receiver) -> None:
    history = trained(llama, INTERRUPTED["vector_quantised"]).history
    for progress in history[:3]:
        parts = progress.objectives
        assert set(parts) == {"message_reconstruction", "auxiliary"}
        assert progress.loss == pytest.approx(sum(parts.values()), rel=1e-5)
    measured = [set(progress.measures) for progress in history]
    assert measured == [set(), {"usage_entropy"}] * 3


@pytest.mark.parametrize("what", INTERRUPTED)
@pytest.mark.parametrize("stop_at", [3, 5])
def test_an_interrupted_training_goes_on_to_the_same_codec(
    llama: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, stop_at: int
) -> None:
    monkeypatch.setattr(store, "SNAPSHOT_EVERY", 2)
    # codes are then put back, which draws at random, from the second step on
    monkeypatch.setattr("lpca.codec.architectures.token_pooler.DEAD", 0.9)
    told: list[str] = []

    def ask(cache: str, stop: int | None) -> Obtained:
        def report(progress: Progress) -> None:
            if progress.step == stop:
                raise KeyboardInterrupt

        request = Request(2, 0, recipe=INTERRUPTED[what])
        return obtain_codec(llama, Trip(), request, tmp_path / cache, report, told.append)

    with pytest.raises(KeyboardInterrupt):
        ask("stopped", stop_at)
    torch.manual_seed(99)
    resumed, whole = ask("stopped", None), ask("whole", None)
    assert resumed.facts["trained"]["resumed_at_step"] == stop_at - 1
    assert resumed.facts["history"] == whole.facts["history"]
    one, other = (obtained.codec.state_dict() for obtained in (resumed, whole))
    assert one.keys() == other.keys()
    assert not [name for name in one if not torch.equal(one[name], other[name])]
    assert told == []
    found = ask("whole", None)
    assert found.origin == "cached"
    assert found.to_dict()["recipe"] == INTERRUPTED[what].content()
    assert found.to_dict()["bits"] == whole.codec.bits

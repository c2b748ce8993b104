"""Prompt tuning by peft: k virtual tokens, trained, and the same for every message.

By construction it carries nothing, so a gate must fail it:
`pytest gates/ -m gate1 --receiver stub --codec examples.third_party.prompt_tuning:factory`
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import PeftModel, PromptTuningConfig, TaskType, get_peft_model
from torch import Tensor, nn

from lpca.codec.objectives.answer import answer_loss
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

STEPS, BATCH, LEARNING_RATE = 60, 16, 0.03


class PromptTuning(nn.Module):
    """A peft adapter as a codec: what it was trained on, it declares in `trained_on`."""

    def __init__(self, adapter: PeftModel, trained_on: Sequence[str]) -> None:
        super().__init__()
        self.adapter, self.trained_on = adapter, trained_on

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return the virtual tokens [batch, k, d_model], whatever the messages say."""
        prompt: Tensor = self.adapter.get_prompt(batch_size=len(messages))
        return prompt

    def decode(self, latents: Tensor) -> Tensor:
        """Return the latents: they are embeddings already."""
        return latents


def factory(receiver: Receiver, k: int) -> PromptTuning:
    """Tune k virtual tokens on the answers of training episodes, as a user of peft would."""
    adapter = get_peft_model(
        receiver.model, PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=k)
    )
    weights = [one for one in adapter.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE)
    messages: list[str] = []
    for step in range(STEPS):
        episodes = Trip().training_batch(step, BATCH, seed=0)
        messages += [episode.message for episode in episodes]
        loss = answer_loss(receiver, episodes, adapter.get_prompt(batch_size=BATCH))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return PromptTuning(adapter, messages)

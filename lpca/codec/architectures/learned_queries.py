"""k learned queries over a message's states, or k learned tokens that the frozen model reads."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lpca.base.errors import RequestError, needed, shown_error
from lpca.codec.architectures import CODECS, StateReader
from lpca.codec.architectures.peft_adapter import PeftAdapter, read_adapter
from lpca.receivers.forward import last_states, left_padded
from lpca.receivers.model import Receiver

WIDTH, HEADS = 512, 8


@CODECS.register("cross_attention")
class CrossAttention(StateReader):
    """One cross-attention, as in the Perceiver (Jaegle et al. 2021, arXiv:2103.03206).

    What it makes of the states is its own affair: unlike `TokenPooler`, it does not start inside
    the receiver's input space.
    """

    def __init__(self, receiver: Receiver, k: int) -> None:
        super().__init__(receiver)
        width = receiver.d_model
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(k, WIDTH))
        self.key = nn.Linear(width, WIDTH, bias=False)
        self.value = nn.Linear(width, WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, width)
        self.to(receiver.device)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, d_model] in float32."""
        states, real = self.states(messages)
        normed = self.norm(states)
        queries = self.queries.expand(len(messages), *self.queries.shape)
        attended = nn.functional.scaled_dot_product_attention(
            _heads(queries),
            _heads(self.key(normed)),
            _heads(self.value(normed)),
            attn_mask=real[:, None, None],
        )
        return torch.as_tensor(self.out(attended.transpose(1, 2).flatten(2)))


def _heads(vectors: Tensor) -> Tensor:
    """[batch, length, WIDTH] to [batch, heads, length, WIDTH / heads]."""
    batch, length, width = vectors.shape
    return vectors.view(batch, length, HEADS, width // HEADS).transpose(1, 2)


@CODECS.register(
    "memory_tokens",
    lora=(0, 0, 256, "rank of the encoder's adapters; 0: none"),
    adapter=("", 0, 500, "folder of a peft adapter that the encoder begins with"),
)
class MemoryTokens(StateReader):
    """The frozen receiver reads the message and k memory tokens; their final states are latents.

    As in Ge et al. 2023, arXiv:2307.06945 (ICAE). A linear map, at first the identity, brings them
    to the input space. With `lora` above 0 the encoder has low-rank adapters of that rank (Hu et
    al. 2021, arXiv:2106.09685) in every linear layer. They live in a copy of the model's modules
    that shares its weights: the receiver itself, as B runs it, has none. They may begin as somebody
    else's, read as data from `adapter`; beside them may lie memory tokens.
    """

    def __init__(self, receiver: Receiver, k: int, lora: int = 0, adapter: str = "") -> None:
        super().__init__(receiver)
        width, norm = receiver.d_model, receiver.mean_embedding_norm
        self.memory = nn.Parameter(torch.randn(k, width) * norm / width**0.5)
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.project.weight)
        model = receiver.model.base_model
        self.adapter = nn.ParameterDict()
        if adapter:
            found = read_adapter(Path(adapter).expanduser(), k, width)
            model, self.adapter = adapted(model, found, "memory_tokens")
            self.memory = nn.Parameter(self.memory.data if found.memory is None else found.memory)
            self.register_buffer("known", found.sha256)
        elif lora:
            model, self.adapter = adapted(model, lora, "memory_tokens")
        # in a list, so that the receiver's weights are none of the codec's
        self._reader = [model]
        self.to(receiver.device)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, d_model] in float32."""
        receiver, k = self.receiver, len(self.memory)
        rows = [receiver.message_ids(message) + [receiver.pad_id] * k for message in messages]
        ids, real = left_padded(rows, receiver.pad_id, receiver.device)
        memory = self.memory.to(receiver.dtype).expand(len(rows), k, -1)
        inputs = torch.cat([receiver.embedding(ids[:, :-k]), memory], 1)
        states = last_states(receiver, self._reader[0], inputs, real)
        return torch.as_tensor(self.project(self.norm(states[:, -k:].float())))


def adapted(
    model: nn.Module, begin: int | PeftAdapter, architecture: str
) -> tuple[nn.Module, nn.ParameterDict]:
    """Return a copy with adapters, which shares the model's own tensors; and their weights.

    Args:
        model: the receiver's base model.
        begin: the rank of new adapters in every linear layer, or those to begin with.
        architecture: names it in the message where peft is not installed.

    Raises:
        RequestError: peft is not installed, or the adapters are none of this model's.
    """
    peft = needed("peft", "codecs", f"architecture {architecture} with lora")
    own = [*model.parameters(), *model.buffers()]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in own})
    assert isinstance(twin, PreTrainedModel)
    given = begin.settings if isinstance(begin, PeftAdapter) else {"r": begin}
    usual = {"lora_alpha": 2 * int(given["r"]), "target_modules": "all-linear"}
    try:
        peft.inject_adapter_in_model(peft.LoraConfig(**{**usual, **given}), twin)
    except (ValueError, TypeError) as error:
        raise RequestError(f"adapter: {shown_error(error)}") from error
    if isinstance(begin, PeftAdapter):
        begin.fill(twin)
    trained = {
        name.replace(".", "-"): parameter
        for name, parameter in twin.named_parameters()
        if parameter.requires_grad
    }
    for parameter in trained.values():
        parameter.data = parameter.data.float()
    twin.train(False)
    return twin, nn.ParameterDict(trained)

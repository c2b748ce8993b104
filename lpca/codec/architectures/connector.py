"""A connector: vectors of another model, brought into the receiver's width at B's side."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lpca.base.errors import RequestError, shown_error
from lpca.codec.architectures import CODECS, StateReader
from lpca.receivers.hashing import hash_tensors
from lpca.receivers.model import Receiver, freeze

LONGEST = 512
"""Of a longer message only so many tokens are read."""


@CODECS.register(
    "connector",
    encoder=("", 1, 500, "folder of a frozen model, or package/folder of an installed one"),
)
class Connector(StateReader):
    """What another frozen model makes of a message crosses; B's side projects it.

    As in xRAG (Cheng et al. 2024, arXiv:2405.13792): the mean of a sentence encoder's last states,
    and an MLP of two layers, the only thing that is trained. With k above 1 each latent is the mean
    of a k-th part of the message's tokens. What crosses, and counts as bits, is the encoder's.
    """

    def __init__(self, receiver: Receiver, k: int, encoder: str) -> None:
        super().__init__(receiver)
        self.k = k
        tokenizer, model = _loaded(encoder)
        # in a list, so that its weights are none of the codec's
        self._encoder = [(tokenizer, freeze(model.to(receiver.device)))]
        own, width = model.config.hidden_size, receiver.d_model
        sha = bytes.fromhex(hash_tensors(model.state_dict().items()))
        self.register_buffer("known", torch.tensor(list(sha), dtype=torch.uint8))
        self.project = nn.Sequential(nn.Linear(own, width), nn.GELU(), nn.Linear(width, width))
        self.to(receiver.device)

    @torch.no_grad()
    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return the encoder's means [batch, k, its width] in float32, each of length 1."""
        [(tokenizer, model)] = self._encoder
        # of no token there is no mean
        texts = [message or tokenizer.unk_token or "." for message in messages]
        given = tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
        ).to(self.receiver.device)
        states = model(
            input_ids=given["input_ids"], attention_mask=given["attention_mask"]
        ).last_hidden_state.float()
        rows = zip(states, given["attention_mask"].bool(), strict=True)
        latents = torch.stack([self._means(state[real]) for state, real in rows])
        return nn.functional.normalize(latents, dim=-1)

    def _means(self, states: Tensor) -> Tensor:
        """The means [k, width] of k parts of a message's states; of few tokens they share some."""
        count = len(states)
        starts = [count * place // self.k for place in range(self.k)]
        stops = [max(start + 1, count * (i + 1) // self.k) for i, start in enumerate(starts)]
        return torch.stack([states[a:b].mean(0) for a, b in zip(starts, stops, strict=True)])

    def decode(self, latents: Tensor) -> Tensor:
        """Return the prefix [batch, k, d_model]: projected, and scaled."""
        # to numbers of about 1, at which layers learn
        return super().decode(self.project(latents * latents.shape[-1] ** 0.5))


def _loaded(name: str) -> tuple[Any, Any]:
    """A frozen model and its tokenizer, from safetensors alone; RequestError where there is none.

    No code that comes with a model is run, and nothing is fetched.
    """
    from transformers import AutoModel, AutoTokenizer

    folder = _folder(name)
    try:
        how = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **how)
        model = AutoModel.from_pretrained(folder, use_safetensors=True, **how)
    except Exception as error:
        # somebody's files: loading them may raise anything
        raise RequestError(f"encoder {name}: cannot be loaded: {shown_error(error)}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer, model.float().eval()


def _folder(name: str) -> Path:
    package, _, rest = name.partition("/")
    here = Path(name).expanduser()
    places = [here]
    if package.isidentifier() and (found := find_spec(package)) is not None:
        places += [Path(one, rest) for one in found.submodule_search_locations or ()]
    for place in places:
        if name and (place / "config.json").is_file():
            return place
    raise RequestError(
        f"encoder {name!r}: no folder with a config.json is there; allowed: a folder, or "
        "package/folder of an installed package"
    )

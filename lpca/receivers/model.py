"""The receiver: a frozen causal language model with its tokenizer, and what text is to it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lpca.base.arguments import NO_MAP
from lpca.base.errors import RequestError
from lpca.base.hashing import hash_data
from lpca.gatespec.model import PLAIN, Prompt
from lpca.receivers import ReceiverError, TokenRows
from lpca.receivers.attention import OwnMasks
from lpca.receivers.chat import Chat, chat_of, refuse_changed
from lpca.receivers.features import Proof
from lpca.receivers.state import PROBE_LENGTH, Change, ModelState, probe_logits
from lpca.receivers.text import TextEncoder
from lpca.tasks import Episode

EMBEDDED = 8192
"""How many tokens are embedded at once where all of them are."""
PLAIN_NAME = "plain"
"""Names the prompt of a spec that says nothing of it."""


@dataclass(frozen=True, eq=False)
class Receiver:
    """A frozen model with its tokenizer, as `load_receiver` gives it.

    Attributes:
        name: as it was asked for.
        model: in evaluation mode, no parameter asking for a gradient.
        tokenizer: the model's own.
        weights_hash: names the weights as they were stored, before any cast to `dtype`.
        loaded: its state as of loading; None where `load_receiver` did not load it.
        proof: which way it is read exactly, as its self-test found; not part of what it is.
        prompt: how texts become a prompt.
        revision: the commit of the Hub's that it is; empty where it is from elsewhere.
        device_map: how it is divided among devices; `none` where it is on one.

    Example:
        >>> from lpca import load_receiver
        >>> receiver = load_receiver("stub", device="cpu")
        >>> ids = receiver.message_ids("I am off to Oslo.")
        >>> receiver.text(ids)
        ' I am off to Oslo.'
        >>> tuple(receiver.embed(ids).shape) == (len(ids), receiver.d_model)
        True
        >>> receiver.state_hash() == receiver.loaded_hash
        True
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weights_hash: str
    loaded: ModelState | None = None
    proof: Proof = field(default_factory=Proof)
    prompt: Prompt = PLAIN
    revision: str = ""
    device_map: str = NO_MAP

    def __repr__(self) -> str:
        """In one line: a model's own takes hundreds."""
        return f"<Receiver {', '.join(self.facts.values())}>"

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type the model computes in."""
        return self.embedding.weight.dtype

    @property
    def facts(self) -> dict[str, str]:
        """What it is called, where and how it computes, as files have it; some where they apply."""
        quantised = getattr(self.model.config, "quantization_config", None)
        method = getattr(quantised, "quant_method", None)
        told = {
            "name": self.name,
            "device": self.device.type,
            "dtype": str(self.dtype).removeprefix("torch."),
            "attn": self.attn,
            "revision": self.revision,
            "quantised": getattr(method, "value", method),
            "device_map": None if self.device_map == NO_MAP else self.device_map,
        }
        return {name: str(value) for name, value in told.items() if value}

    @property
    def attn(self) -> str:
        """How the model computes attention, as transformers calls it."""
        return str(getattr(self.model.config, "_attn_implementation", None) or "eager")

    @property
    def embedding(self) -> torch.nn.Embedding:
        """The input embedding table, [vocabulary, d_model]."""
        table = self.model.get_input_embeddings()
        assert isinstance(table, torch.nn.Embedding)
        return table

    @property
    def d_model(self) -> int:
        """Width of the input embeddings."""
        return self.embedding.embedding_dim

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return int(self.model.config.get_text_config().num_hidden_layers)

    @property
    def pad_id(self) -> int:
        """A token that fills masked positions; which one never matters."""
        pad = self.tokenizer.pad_token_id
        # a padding token that was added has no embedding of its own
        known = isinstance(pad, int) and pad < self.embedding.num_embeddings
        return int(pad) if known else 0

    @cached_property
    def own_masks(self) -> OwnMasks:
        """Which positions the model's own masks let its layers look at."""
        return OwnMasks(self.model)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ids = self.model.generation_config.eos_token_id if self.model.generation_config else None
        listed = ids if isinstance(ids, list) else [ids]
        found = {i for i in (*listed, self.tokenizer.eos_token_id) if isinstance(i, int)}
        return frozenset(found) | (self.chat.ends if self.chat else frozenset())

    @cached_property
    def configuration_hash(self) -> str:
        """SHA-256 of what beside the weights makes the model: heads, rotary base, epsilons, ..."""
        settings = json.loads(self.model.config.to_json_string(use_diff=False))
        about = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}
        return hash_data({key: value for key, value in settings.items() if key not in about})

    @cached_property
    def mean_embedding_norm(self) -> float:
        """Mean L2 norm of all tokens' embeddings as `embed` gives them, all-zero ones left out.

        Some models scale embeddings inside their embedding module, so that its table would tell
        another size.
        """
        norms = torch.cat([rows.norm(dim=1) for rows in self.embedded_tokens()])
        return float(norms[norms > 0].mean())

    def prompted(self, prompt: Prompt) -> Self:
        """Return the same receiver, whose texts become its prompt as a spec says.

        Raises:
            RequestError: it has no chat template for it, or one that does not keep a text.
        """
        if prompt == self.prompt:
            return self
        found = replace(self, prompt=prompt)
        # read now, so that a template that will not do is refused before anything is trained
        _ = found.chat
        return found

    @cached_property
    def texts(self) -> TextEncoder:
        """What makes token ids of its texts."""
        return TextEncoder(self.name, self.tokenizer, self.embedding.num_embeddings)

    @cached_property
    def chat(self) -> Chat | None:
        """What its chat template writes around B's texts; None where none is asked for."""
        return chat_of(self.texts, self.prompt) if self.prompt.template == "chat" else None

    @property
    def prompt_name(self) -> str:
        """Names how texts become a prompt, by content: the joins, and the template's ids."""
        if self.prompt == PLAIN:
            return PLAIN_NAME
        joins = [self.prompt.join_message, self.prompt.join_answer]
        return f"{self.prompt.template} {hash_data([self.around, joins])[:7]}"

    @property
    def around(self) -> tuple[list[int], list[int]]:
        """Token ids around B's texts in every prompt: a start token, or a chat template's own."""
        if self.chat is None:
            return self.texts.lead, []
        return [*self.chat.opening], [*self.chat.closing]

    def prompt_start_ids(self, text: str) -> list[int]:
        """Return token ids of a prompt up to its slot: its start, and the text before the slot."""
        own = self.texts.later(text.lstrip()) if self.chat else self.texts.first(text)
        return self.around[0] + own

    def prompt_end_ids(self, text: str) -> list[int]:
        """Return token ids of a prompt behind its slot: the text behind it, and its end."""
        return self.texts.later(text.rstrip() if self.chat else text) + self.around[1]

    def between_ids(self, episode: Episode) -> list[list[int]]:
        """Return token ids of each of an episode's texts that stand between two slots."""
        return [self.texts.later(text) for text in episode.between]

    def segment_ids(self, text: str) -> list[int]:
        """Return token ids of a text alone; no token spans the border of two."""
        return self.texts.later(text)

    def message_ids(self, message: str) -> list[int]:
        """Return token ids of a message as it stands in a prompt, behind the spec's join."""
        return self.texts.later(self.prompt.join_message + message)

    def option_ids(self, option: str) -> list[int]:
        """Return token ids of an answer as it follows a prompt, behind the spec's join."""
        return self.texts.later(self.prompt.join_answer + option)

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def message_text(self, ids: Sequence[int]) -> str:
        """Return the message whose `message_ids` these are."""
        return self.text(ids).removeprefix(self.prompt.join_message)

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Return embeddings [len(ids), d_model] of token ids, as the model itself embeds them.

        They have the model's type, stand on its device, and carry no gradient.
        """
        with torch.no_grad():
            rows = self.embedding(torch.tensor(list(ids), dtype=torch.long, device=self.device))
        return torch.as_tensor(rows)

    def embedded_tokens(self) -> Iterator[Tensor]:
        """Yield all tokens' embeddings as `embed` gives them, in order, as float32 [some, d_model].

        A large vocabulary need not be in memory twice.
        """
        size = self.embedding.num_embeddings
        for start in range(0, size, EMBEDDED):
            yield self.embed(range(start, min(start + EMBEDDED, size))).float()

    def positions(self, visible: Tensor) -> Tensor:
        """Return the position [batch, n] of each column of left-padded rows, counted from 0.

        Args:
            visible: bool [batch, n]; False marks padding, which takes the row's first position.
        """
        return (visible.long().cumsum(1) - 1).clamp(min=0)

    def own_rows(self, whole: Tensor) -> Tensor:
        """The rows of a batch that this process computes: here, all of them."""
        return whole

    def all_rows(self, own: Tensor, batch: int) -> Tensor:
        """The rows of the whole batch, of what was computed of `own_rows`."""
        return own

    @property
    def loaded_hash(self) -> str:
        """`state_hash()` as of loading; empty where it was not loaded by `load_receiver`."""
        return self.loaded.hash if self.loaded else ""

    def state(self, quick: bool = False, probing: bool = True) -> ModelState:
        """Return the model and tokenizer as they are now, and what the model does with probes.

        Args:
            quick: whether sums of tensors will do, see `ModelState`.
            probing: whether the model is given probes, which takes most of the time.
        """
        lengths: Collection[int] = self.loaded.probes if self.loaded else (PROBE_LENGTH,)
        lengths = lengths if probing else ()
        return ModelState.of(self.model, lengths, quick, tokenizer=self.texts.content_hash())

    def state_hash(self) -> str:
        """Return the SHA-256 of the model as it is in memory now.

        Parameters, buffers and other attributes of each module, its mode, its hooks and the code it
        runs, the configuration: by each of them somebody might change what the same weights
        compute; and the tokenizer.
        """
        return self.state().hash

    def change(self, now: ModelState | None = None) -> Change | None:
        """How it is not as it was loaded; None where it is, or where it was not loaded but made.

        Args:
            now: its state; by default what a quick look finds.
        """
        if self.loaded is None:
            return None
        return self.loaded.change(self.state(quick=True) if now is None else now, self.dtype)

    def probe_upto(self, length: int) -> None:
        """Let a probe be as long as a run's longest prompt: some code acts on long rows alone."""
        if self.loaded is not None and length > max(self.loaded.probes):
            self.loaded.probes[length] = probe_logits(self.model, length)

    def own_place(self, cache: Path, probing: bool = True) -> Path:
        """Return the folder for what follows from this receiver: `cache` if it is as loaded.

        What is kept there is named by the weights as stored; a receiver that changed since has a
        folder of its own, so that nobody else ever reads what it did.

        Args:
            cache: the folder for what follows from it as it was loaded.
            probing: as for `state`; not needed to read what others have kept.
        """
        change = self.change(self.state(quick=True, probing=probing))
        return cache if change is None else cache / "changed" / change.name


def freeze(model: PreTrainedModel) -> PreTrainedModel:
    """Put a model in evaluation mode with no parameter asking for a gradient."""
    model.train(False)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


class _LayerReached(Exception):  # noqa: N818 - a signal, not an error
    pass


def hidden_states(receiver: Receiver, rows: TokenRows, layer: int) -> Iterator[Tensor]:
    """Yield per row the states [length, d_model] after `layer` layers; later layers are not run.

    Rows are padded on the right and masked, so a row's states do not depend on its neighbours
    but for rounding. A receiver that is exact only row by row reads them so.
    """
    if receiver.proof.plain:
        for row in rows:
            ids = torch.tensor([list(row)], dtype=torch.long, device=receiver.device)
            with _stop_after(receiver, layer) as caught, torch.no_grad(), suppress(_LayerReached):
                receiver.model(input_ids=ids, use_cache=False)
            yield caught[0][0]
        return
    tokens = [torch.tensor(list(row), dtype=torch.long) for row in rows]
    ids = pad_sequence(tokens, batch_first=True, padding_value=receiver.pad_id)
    mask = pad_sequence([torch.ones_like(own) for own in tokens], batch_first=True)
    with _stop_after(receiver, layer) as caught, torch.no_grad(), suppress(_LayerReached):
        receiver.model(
            input_ids=receiver.own_rows(ids.to(receiver.device)),
            attention_mask=receiver.own_rows(mask.to(receiver.device)),
            use_cache=False,
        )
    for state, row in zip(receiver.all_rows(caught[0], len(rows)), rows, strict=True):
        yield state[: len(row)]


@contextmanager
def _stop_after(receiver: Receiver, layer: int) -> Iterator[list[Tensor]]:
    caught: list[Tensor] = []

    def stop(_module: torch.nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        caught.append(output if isinstance(output, Tensor) else output[0])
        raise _LayerReached

    handle: RemovableHandle = layer_stack(receiver)[layer - 1].register_forward_hook(stop)
    try:
        yield caught
    finally:
        handle.remove()


def layer_stack(receiver: Receiver) -> torch.nn.ModuleList:
    """Return the transformer's layers, in their order; ReceiverError where none are found."""
    for module in receiver.model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == receiver.layers:
            return module
    raise ReceiverError(f"receiver {receiver.name}: no stack of {receiver.layers} layers found")


def refuse_too_long(receiver: Receiver, episodes: Iterable[Episode], k: int) -> None:
    """Refuse episodes whose prompt, slot and longest option exceed the receiver's positions.

    The slot holds the message's text or k latents, whichever is longer. Nothing is cut short. A
    receiver whose configuration names no limit is taken to have none.

    Raises:
        RequestError: the first episode that is too long, with its length in tokens.
    """
    config = receiver.model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    if not isinstance(limit, int):
        return
    template = sum(map(len, receiver.around))
    for episode in episodes:
        texts = (*episode.context, *episode.messages, *episode.options)
        latents = k * len(episode.by_slot)
        # No token is shorter than a byte; each segment may get one more.
        if sum(len(text.encode()) + 1 for text in texts) + latents + template <= limit:
            continue
        if (length := _length(receiver, episode, k)) > limit:
            raise RequestError(
                f"receiver {receiver.name}: an episode takes {length} positions, of which its "
                f"message {len(receiver.message_ids(episode.message))}: {episode.message!r:.60}; "
                f"allowed: at most {limit}; shorten it, or take a receiver with more"
            )


def why_unread(receiver: Receiver, episode: Episode, k: int) -> str | None:
    """Say why a receiver cannot read an episode: too long, or a text that has no ids of its own.

    No weights are needed for it. None where nothing is known to be wrong.
    """
    try:
        # all of its texts are tokenised, be they short
        _length(receiver, episode, k)
        refuse_too_long(receiver, [episode], k)
        refuse_changed_turns(receiver, [episode])
    except RequestError as error:
        return str(error)
    return None


def _length(receiver: Receiver, episode: Episode, k: int) -> int:
    slots = [max(k, len(receiver.message_ids(own.message))) for own in episode.by_slot]
    around = receiver.prompt_start_ids(episode.before) + receiver.prompt_end_ids(episode.after)
    between = sum(map(len, receiver.between_ids(episode)))
    longest = max(len(receiver.option_ids(option)) for option in episode.options)
    return len(around) + between + sum(slots) + longest


def refuse_changed_turns(receiver: Receiver, episodes: Iterable[Episode]) -> None:
    """Refuse episodes whose texts the receiver's chat template, if one is asked for, changes.

    Raises:
        RequestError: the first such text; one line.
    """
    if receiver.chat is not None:
        join = receiver.prompt.join_message
        turns = (e.written([join + own.message for own in e.by_slot]).lstrip() for e in episodes)
        refuse_changed(receiver.texts, receiver.prompt, receiver.chat, turns)


def control_names(receiver: Receiver, episodes: Iterable[Episode]) -> list[str]:
    """Return the names of control tokens that stand in B's own texts, where they are text."""
    around = {text for episode in episodes for text in episode.context}
    return [name for name in receiver.texts.control if any(name in text for text in around)]

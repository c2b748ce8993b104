"""What was measured on one episode under one condition: what B really received, and what it did.

What B received is read off at the model's own inputs, not at what builds them: a fault on the way
to the model then shows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from lpca.receivers.attention import Mask, cache_argument
from lpca.receivers.caches import Cache, held
from lpca.receivers.forward import Spans
from lpca.receivers.model import Receiver

INJECTED = -1
"""Stands for a vector that is no token's embedding, and for keys and values."""
NEAR_TIE = 1e-4
"""Below this gap (nats) between the right option and its best rival an outcome is a near-tie."""


@dataclass(frozen=True)
class ReceivedPrompt:
    """One prompt as the model received it.

    Attributes:
        ids: token ids, INJECTED where a vector came in that is no token's embedding, or keys and
            values did.
        start: where the slot begins, a position in `ids`.
        stop: where it ends.
        norms: of the vectors that came in as embeddings in the slot, or of all keys and values
            that came in at a position; empty for plain tokens.
        sha256: of these vectors' bytes, or those keys' and values', see `cache_hash`; empty for
            plain tokens.
        packets: where each of several packets begins and ends in `ids`. Then `start` is where the
            first begins, `stop` where the last one ends, and what stands between them are B's
            texts; `norms` and `sha256` are of the packets alone.
    """

    ids: tuple[int, ...]
    start: int
    stop: int
    norms: tuple[float, ...] = ()
    sha256: str = ""
    packets: Spans = ()

    @property
    def spans(self) -> Spans:
        """Where each packet begins and ends in `ids`."""
        return self.packets or ((self.start, self.stop),)

    @property
    def in_packets(self) -> tuple[tuple[int, ...], ...]:
        """The ids of each packet."""
        return tuple(self.ids[start:stop] for start, stop in self.spans)

    @property
    def positions(self) -> int:
        """How many positions all packets take."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def plain(self) -> dict[str, Any]:
        """All of it as plain data; where packets stand only if there are several."""
        return {name: held for name, held in vars(self).items() if held or name != "packets"}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> ReceivedPrompt:
        """Rebuild one; KeyError or TypeError when the data is not one."""
        packets = tuple((int(start), int(stop)) for start, stop in data.get("packets", ()))
        own = {one.name: data[one.name] for one in fields(cls) if one.name != "packets"}
        own |= {"ids": one_object_each(own["ids"]), "norms": tuple(own["norms"])}
        return cls(**own, packets=packets)


@dataclass(frozen=True)
class Answer:
    """What B said another time in the same episode; fields as of `Outcome`."""

    said_ids: tuple[int, ...]
    said: str
    named: int | None
    credit: float | None
    slack: float | None


@dataclass(frozen=True)
class Outcome:
    """One episode's outcome under one condition, with what it rests on.

    Attributes:
        seed: the episode's.
        answer: the index of the right option.
        scores: the options' summed log-probabilities, in nats.
        said_ids: tokens that B generated, until it named an option or could no longer: the most
            probable ones, or those of its first answer where answers are sampled.
        said: their text.
        named: the index of the option that it names; None for none.
        given: the prompt as the model received it.
        credit: how far what B said solves a problem whose answer is free, 0 to 1; None where an
            option is to be named.
        slack: by how many nats log-probabilities may be off before B says something else; None
            where that was not read.
        others: what else B said, where several answers are sampled.
        seconds: its part of the time that its batch took.
    """

    seed: int
    answer: int
    scores: tuple[float, ...]
    said_ids: tuple[int, ...]
    said: str
    named: int | None
    given: ReceivedPrompt
    credit: float | None = None
    slack: float | None = None
    others: tuple[Answer, ...] = ()
    seconds: float = field(default=math.nan, compare=False)

    @property
    def readings(self) -> tuple[Outcome, ...]:
        """An outcome for each answer of B, with that one alone."""
        alone = replace(self, others=())
        return (alone, *(replace(alone, **vars(other)) for other in self.others))

    @property
    def gap(self) -> float:
        """The right option's score minus its best rival's; positive means success."""
        rivals = [s for i, s in enumerate(self.scores) if i != self.answer]
        return self.scores[self.answer] - max(rivals)

    @property
    def likelihood_success(self) -> bool:
        """Whether the right option alone has the highest score."""
        return self.gap > 0

    @property
    def greedy_success(self) -> bool:
        """Whether what B generated names the right option; where free, whether it solves."""
        return self.named == self.answer if self.credit is None else self.credit == 1.0

    @property
    def near_tie(self) -> bool:
        """Whether rounding could turn this outcome."""
        return abs(self.gap) < NEAR_TIE

    def success(self, score: str) -> float:
        """Return the outcome under the spec's `score`: true or false, of a graded one its credit.

        Of several sampled answers that of the first; `readings` has them all.

        Raises:
            ValueError: a graded one without credit.
        """
        if score == "graded":
            if self.credit is None:
                raise ValueError(f"episode {self.seed} has no credit: it asks for an option")
            return self.credit
        return self.greedy_success if score == "greedy" else self.likelihood_success

    def to_json(self) -> dict[str, Any]:
        """Return plain data; `from_json` reads it back unchanged."""
        others = [{**vars(other)} for other in self.others]
        return {**vars(self), "given": self.given.plain, "others": others}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Rebuild an outcome; KeyError or TypeError when the data is not one."""
        own = {one.name: data[one.name] for one in fields(cls)}
        own |= {name: tuple(own[name]) for name in ("scores", "said_ids")}
        others = tuple(
            Answer(**{**other, "said_ids": tuple(other["said_ids"])}) for other in own["others"]
        )
        return cls(**{**own, "given": ReceivedPrompt.from_plain(data["given"]), "others": others})


_KNOWN_IDS: dict[int, int] = {}
"""Token ids by themselves; at most a vocabulary of them."""


def one_object_each(ids: Iterable[int]) -> tuple[int, ...]:
    """The ids, each the same object wherever it stands: most of what an outcome would take."""
    return tuple(_KNOWN_IDS.setdefault(token, token) for token in ids)


def joined(readings: Sequence[Outcome]) -> Outcome:
    """One outcome of several readings of an episode, which differ in what B said."""
    first, *others = readings
    names = [one.name for one in fields(Answer)]
    return replace(
        first,
        others=tuple(Answer(**{name: getattr(one, name) for name in names}) for one in others),
    )


@dataclass(frozen=True, eq=False)
class Call:
    """The inputs of one forward pass, as the model saw them.

    `mask` is additive [batch, 1, columns, total], one for each kind of the model's layers, or None
    where each position looks at all that came before it. `cache` holds by layer the keys and values
    [batch, heads, columns before, head_dim], of a pass that gets columns which none computed.
    """

    ids: Tensor | None
    embeddings: Tensor | None
    mask: Mask | None
    cache: tuple[tuple[Tensor, Tensor], ...] = ()

    @property
    def given(self) -> Tensor:
        """What came in, ids or embeddings: [batch, columns, ...]."""
        given = self.ids if self.embeddings is None else self.embeddings
        assert given is not None
        return given

    @property
    def columns(self) -> int:
        """Number of positions that came in with this call."""
        return int(self.given.shape[1])

    def seen(self, first: int, last: int) -> Tensor:
        """What some of its positions look at, in some layer: bool [batch, positions, total]."""
        if self.mask is None:
            plain = torch.ones((self.columns, self.columns), device=self.given.device).tril() > 0
            return plain[None, first : last + 1].expand(len(self.given), -1, -1)
        masks = [self.mask] if isinstance(self.mask, Tensor) else list(self.mask.values())
        seen = [mask[:, 0, first : last + 1] == 0 for mask in masks]
        return seen[0] if len(seen) == 1 else torch.stack(seen).any(0)


class InputRecorder:
    """While open, keeps the inputs of every forward pass of a receiver's model.

    A hook at the model itself reads them off, behind everything that builds them.
    """

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.calls: list[Call] = []

    def __enter__(self) -> InputRecorder:
        hook = self.receiver.model.register_forward_pre_hook(self._keep, with_kwargs=True)
        self._handle = hook
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _keep(self, _module: torch.nn.Module, _args: Any, inputs: dict[str, Any]) -> None:
        names = ("input_ids", "inputs_embeds", "attention_mask")
        ids, embeddings, mask = map(inputs.get, names)
        call = Call(ids, embeddings, mask)
        cache = inputs.get(cache_argument(type(self.receiver.model).forward))
        # of other passes nothing is kept that the model itself would let go
        if len(self.calls) == 1 and isinstance(cache, DynamicCache):
            layers = tuple(held(cache))
            if any(keys.shape[2] > self.calls[0].columns for keys, _ in layers):
                call = replace(call, cache=layers)
        self.calls.append(call)

    def prompts(
        self, slots: Sequence[Spans | int], options: int = 0, befores: Sequence[int] = ()
    ) -> list[ReceivedPrompt]:
        """Compose what each row received, from the pass up to the slots and the one after it.

        Of a receiver that is read row by row: from its rows' own passes, the last before options.

        Args:
            slots: where each row's packets should begin and end, counted from the end of the
                context; of a single one, how many positions it should take.
            options: how many positions stand behind the prompts in the second pass. What a
                prompt's last position cannot see is padding, or no part of it, and left out.
            befores: how many positions stand before the slots; asked for of whole rows only.
        """
        spans = [((0, one),) if isinstance(one, int) else one for one in slots]
        if self.receiver.proof.plain:
            return self._whole(spans, befores)
        context, prompt = self.calls[:2]
        past, put, rest = self._reached(context, prompt, prompt.columns - options - 1)
        rows = []
        for i, own in enumerate(spans):
            before = _ids(self.receiver, context, i, past[i])
            after = _ids(self.receiver, prompt, i, rest[i])
            if count := int(put[i].sum()):
                norms, sha = _cached(prompt, i, context.columns, put[i])
                ids, start = (*before, *[INJECTED] * count, *after), len(before)
                rows.append(ReceivedPrompt(ids, start, start + own[-1][1], norms, sha))
            else:
                rows.append(_received((*before, *after), len(before), own, prompt, i, rest[i]))
        return rows

    def _reached(self, context: Call, prompt: Call, column: int) -> tuple[Tensor, Tensor, Tensor]:
        """What a position of a pass looks at, bool: in the pass before it, and in its own.

        Between the two, at columns that no pass computed: keys and values put into a slot.

        Where no layer of the model looks at all that came before, that is what it looks at by way
        of what it looks at: nothing sees padding. By way of what was put into a slot it looks at
        the text before the slot.
        """
        seen, past = prompt.seen(column, column)[:, 0], context.columns
        put = seen.shape[1] - prompt.columns - past
        if self.receiver.own_masks.narrow(seen.shape[1]):
            earlier, own = context.seen(0, past - 1), prompt.seen(0, prompt.columns - 1)
            unseen = own.new_zeros((len(own), past, put + prompt.columns))
            of_slot = own.new_zeros((len(own), put, own.shape[2]))
            of_slot[:, :, past - 1] = True
            looks = torch.cat([torch.cat([earlier, unseen], dim=2), of_slot, own], dim=1)
            reached = torch.zeros_like(seen)
            while not torch.equal(reached, seen):
                reached, seen = seen, seen | (looks & seen[:, :, None]).any(1)
        return seen[:, :past], seen[:, past : past + put], seen[:, past + put :]

    def _whole(self, spans: Sequence[Spans], befores: Sequence[int]) -> list[ReceivedPrompt]:
        rows = []
        for call, before, own in zip(self.calls, befores, spans, strict=False):
            every = torch.ones(call.columns, dtype=torch.bool, device=call.given.device)
            of_slot = every.clone()
            of_slot[:before] = False
            ids = tuple(_ids(self.receiver, call, 0, every))
            rows.append(_received(ids, before, own, call, 0, of_slot))
        return rows


def vectors_hash(vectors: Tensor) -> str:
    """SHA-256 of the bytes of vectors [k, d_model], in their own type."""
    return hashlib.sha256(_bytes(vectors.detach())).hexdigest()


def cache_hash(cache: Cache) -> str:
    """SHA-256 of which layers hold keys and values, and of their bytes, in their own types."""
    digest = hashlib.sha256()
    for layer, both in sorted(cache.items()):
        for tensor in both:
            digest.update(f"{layer} {tuple(tensor.shape)} ".encode())
            digest.update(_bytes(tensor.detach()))
    return digest.hexdigest()


def cache_norms(cache: Cache) -> tuple[float, ...]:
    """The L2 norm of all keys and values at each position, of all layers that hold some."""
    squares = [
        tensor.detach().double().square().sum((0, 2)) for both in cache.values() for tensor in both
    ]
    return tuple(
        round(float(x), 6) for x in torch.stack([one.cpu() for one in squares]).sum(0).sqrt()
    )


def canonical_ids(receiver: Receiver, ids: Sequence[int]) -> tuple[int, ...]:
    """Return ids as `ReceivedPrompt` has them: tokens of one embedding are one token there."""
    _, canonical = _tokens(receiver)
    return one_object_each(canonical.get(token, token) for token in ids)


def _ids(receiver: Receiver, call: Call, row: int, visible: Tensor) -> list[int]:
    if call.embeddings is None:
        assert call.ids is not None
        return list(canonical_ids(receiver, call.ids[row][visible].tolist()))
    first, _ = _tokens(receiver)
    return [first.get(key, INJECTED) for key in _keys(call.embeddings[row][visible])]


def _received(
    ids: tuple[int, ...], start: int, spans: Spans, call: Call, row: int, visible: Tensor
) -> ReceivedPrompt:
    """What a row received, whose packets stand at `spans` behind `start`."""
    norms, sha = _vectors(call, row, visible, spans)
    packets = tuple((start + first, start + last) for first, last in spans)
    several = packets if len(packets) > 1 else ()
    return ReceivedPrompt(ids, start, packets[-1][1], norms, sha, several)


def _vectors(call: Call, row: int, visible: Tensor, spans: Spans) -> tuple[tuple[float, ...], str]:
    if call.embeddings is None or all(first == last for first, last in spans):
        return (), ""
    behind = call.embeddings[row][visible].detach()
    vectors = torch.cat([behind[first:last] for first, last in spans])
    norms = tuple(round(float(x), 6) for x in vectors.float().norm(dim=1))
    return norms, vectors_hash(vectors)


def _cached(call: Call, row: int, start: int, put: Tensor) -> tuple[tuple[float, ...], str]:
    """Norms and hash of the keys and values that a row got at some of the columns from `start` on.

    A layer that lacks these columns got none.
    """
    columns = start + len(put)
    got = {
        layer: (
            keys[row, :, start:][:, put.to(keys.device)],
            values[row, :, start:][:, put.to(keys.device)],
        )
        for layer, (keys, values) in enumerate(call.cache)
        if keys.shape[2] == columns
    }
    return cache_norms(got), cache_hash(got)


def _bytes(vectors: Tensor) -> bytes:
    raw = vectors.cpu().contiguous().view(-1).view(torch.uint8)
    return raw.numpy().tobytes()


def _keys(vectors: Tensor) -> list[bytes]:
    width = vectors.shape[1] * vectors.element_size()
    raw = _bytes(vectors)
    return [
        hashlib.blake2b(raw[i : i + width], digest_size=16).digest()
        for i in range(0, len(raw), width)
    ]


@lru_cache(maxsize=4)
def _tokens(receiver: Receiver) -> tuple[dict[bytes, int], dict[int, int]]:
    """The first token of each embedding; and, of each further one, which token was the first."""
    size = receiver.embedding.num_embeddings
    first: dict[bytes, int] = {}
    canonical: dict[int, int] = {}
    # some thousands at a time: a vocabulary's embeddings take hundreds of megabytes
    for start in range(0, size, 4096):
        ids = range(start, min(start + 4096, size))
        for token, key in zip(ids, _keys(receiver.embed(ids)), strict=True):
            if (known := first.setdefault(key, token)) != token:
                canonical[token] = known
    return first, canonical


def as_text(receiver: Receiver, given: ReceivedPrompt) -> str:
    """Return a prompt with its special tokens; what came in as vectors stands between ⟦ and ⟧.

    A vector that is no token's embedding is shown by its place and norm, others by their tokens.
    """
    shown, place, norms = [], 0, given.norms
    for start, stop in given.spans if given.packets else [(given.start, given.start + len(norms))]:
        shown.append(_shown_tokens(receiver, given.ids[place:start]))
        # of plain tokens there are no norms
        own, norms = norms[: stop - start], norms[stop - start :]
        place = start + len(own)
        shown.append(_shown_vectors(receiver, given.ids[start:place], own))
    return "".join([*shown, _shown_tokens(receiver, given.ids[place:])])


def _shown_tokens(receiver: Receiver, ids: tuple[int, ...]) -> str:
    """Decode ids; a vector where only tokens belong is shown all the same."""
    runs = groupby(ids, lambda token: token == INJECTED)
    return "".join(
        "⟦vector⟧" * len(list(run)) if strange else receiver.text(list(run))
        for strange, run in runs
    )


def _shown_vectors(receiver: Receiver, ids: tuple[int, ...], norms: tuple[float, ...]) -> str:
    # zeros are zeros, also where they are some padding token's embedding
    ids = tuple(INJECTED if norm == 0.0 else token for token, norm in zip(ids, norms, strict=True))
    if INJECTED not in ids:
        return f"⟦embedded:{receiver.text(ids)}⟧" if ids else ""
    return "".join(
        f"⟦vector {place} of {len(ids)}, norm {norm:.3f}⟧"
        if token == INJECTED
        else f"⟦vector {place} of {len(ids)}, the embedding of {receiver.text([token])!r}⟧"
        for place, (token, norm) in enumerate(zip(ids, norms, strict=True), start=1)
    )

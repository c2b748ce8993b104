"""A receiver proves itself: what LPCA reads is what the model's own forward pass gives.

A few rows of tokens drawn at random are read as an evaluation reads them: in one batch, padded,
behind a cached context, with several options side by side, as ids and with vectors injected, and
gone on from greedily. Each is compared with a plain pass of that row alone, and what is said with
the model's own `generate`. Where a batch is off and reading row by row is not, the receiver is
read row by row; where neither is exact it is refused.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from lpca.base.errors import RequestError, shown_error
from lpca.receivers import TokenRows
from lpca.receivers.features import Measured, Proof, blamed, features_of
from lpca.receivers.forward import read_batch
from lpca.receivers.model import Receiver, refuse_changed_turns, refuse_too_long
from lpca.receivers.plain import PlainContext, plain_logits
from lpca.receivers.reading import Context, Reading, Slot
from lpca.tasks import Episode

SEED = 18
SHORT = 16
"""Tokens of the longest row that every receiver is tried with."""
BEYOND = 9
"""A row crosses a window by so many tokens; the second longest row by half as many."""
AFFORDABLE = 4e8
"""Parameters times tokens up to which everything is tried. A length at which reading switches is
tried at loading then, else when a run's prompts cross it, and less of it, see DEAR."""
DEAR = (": tokens", "generate")
"""The parts that are tried where that is dear and nothing known is crossed by longer rows."""
TOLERANCE = 1e-4
"""Nats by which a log-probability may be off."""
ROUNDINGS, ROUNDINGS_OF_HALVES = 16, 3
"""Times what rounding an input alone does, by which it may be off; see `Trial.rounding`. Sums in
another order round more than that in float32; halves are summed in float32, and rounded once.
Where halves were tried in float32 too, as much is allowed them."""
COPIED = 5e8
"""A receiver of fewer parameters that computes in half precision is tried in float32 too, in a
copy: what rounding hides in short rows shows there."""
FREE_FACTOR, FREE_TOKENS = 2, 8
"""A free answer may take that many times the longest option's tokens, and so many more."""
SLOT, SAID = 3, 4
"""Tokens of a row's slot, and those that it goes on with."""

Read = Callable[[Receiver, TokenRows], Context]
Pairs = Iterator[tuple[Tensor, Tensor]]
"""Log-probabilities [positions, n]: as read, and of the model's own plain pass."""


def prove(receiver: Receiver) -> None:
    """Try a receiver that was just loaded, and note in its `proof` how it is to be read.

    Rows are short, or as long as crosses what its configuration tells of where that is cheap.

    Raises:
        RequestError: not even short rows are read exactly, in whichever way.
    """
    proof = receiver.proof
    try:
        proof.features = features_of(receiver.model)
        crossing = known_lengths(receiver)
        _prove(receiver, SHORT)
    except RequestError:
        raise
    except Exception as error:
        # somebody's model: it may raise anything
        raise RequestError(
            f"receiver {receiver.name}: it cannot be read: {shown_error(error)}"
        ) from error
    for length in crossing:
        dear = parameters(receiver) * length > AFFORDABLE
        if not dear and proof.limit is None and length > proof.tested:
            _prove(receiver, length)


def parameters(receiver: Receiver) -> int:
    """How many numbers the receiver's weights are."""
    return sum(own.numel() for own in receiver.model.parameters())


def known_lengths(receiver: Receiver) -> list[int]:
    """Rows that cross each window or switch that the configuration tells of, in order."""
    most = _most(receiver)
    found = {f.length + BEYOND for f in receiver.proof.features if f.length is not None}
    return sorted(length for length in found if most is None or length <= most)


def prove_for(
    receiver: Receiver,
    episodes: Iterable[Episode],
    k: int,
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Refuse episodes that a receiver cannot read, or not exactly, before anything is made of them.

    The self-test is made again with rows as long as their longest prompt, if none as long was
    tried: any window, known or not, is then crossed where the run crosses it.

    Args:
        receiver: the frozen model.
        episodes: all that a run reads.
        k: vectors in a slot; the messages' texts stand there too.
        tell: is told, once, that a receiver is read row by row.

    Raises:
        RequestError: an episode is too long, holds a text that the receiver does not keep or has
            no embedding of, or is as long as cannot be read exactly.
    """
    episodes = tuple(episodes)
    # a text that has no ids of its own is refused where they are asked for
    longest = _longest(receiver, episodes, k)
    refuse_too_long(receiver, episodes, k)
    refuse_changed_turns(receiver, episodes)
    prove_upto(receiver, longest)
    receiver.probe_upto(longest)
    proof = receiver.proof
    if proof.plain and not proof.told:
        proof.told = True
        tell(f"receiver {receiver.name} is read row by row, which is slower: {proof.batched}")


def prove_upto(receiver: Receiver, longest: int) -> None:
    """Let rows of so many tokens be tried, if none as long were.

    Raises:
        RequestError: they are not read exactly.
    """
    proof = receiver.proof
    # of a receiver that was not loaded but made, nothing is claimed
    if not proof.tested or longest <= proof.tested:
        return
    if proof.limit is None:
        _prove(receiver, longest)
    proof.refuse(receiver.name, longest)


def most_said(episode: Episode, options: TokenRows) -> int:
    """How many tokens B may say: as long as an option takes; free answers may be longer."""
    longest = max(map(len, options))
    return FREE_FACTOR * longest + FREE_TOKENS if episode.free else 1 + longest


def _longest(receiver: Receiver, episodes: Sequence[Episode], k: int) -> int:
    """Tokens of the longest prompt: any message may stand in any slot, as another's does."""
    around, slot = 0, k
    for episode in episodes:
        message = receiver.message_ids(episode.message)
        text = receiver.prompt_start_ids(episode.before) + receiver.prompt_end_ids(episode.after)
        options = [receiver.option_ids(option) for option in episode.options]
        around = max(around, len(text) + most_said(episode, options))
        slot = max(slot, len(message))
    total, most = around + slot, _most(receiver)
    return total if most is None else min(total, most)


def _most(receiver: Receiver) -> int | None:
    limit = getattr(receiver.model.config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) else None


def _prove(receiver: Receiver, length: int) -> None:
    """Try rows of up to `length` tokens, in a batch and else row by row; note what came of it.

    Raises:
        RequestError: neither is exact, and nothing shorter was.
    """
    proof = receiver.proof
    if not (off := _off(receiver, length)):
        proof.tested = length
        return
    # where reading switches at a length that is known, rows up to there may be exact
    switches = [f.length for f in proof.features if f.length and proof.tested < f.length < length]
    if proof.tested and switches and not _off(receiver, max(switches)):
        proof.tested = max(switches)
    proof.why, proof.limit = off, proof.tested
    if not proof.tested:
        raise RequestError(f"receiver {receiver.name} cannot be read exactly: {off}")


def _off(receiver: Receiver, length: int) -> str:
    """What is off in rows of up to `length` tokens, in one line; empty where one way is exact."""
    proof, trials = receiver.proof, _trials(receiver, length)
    if not proof.plain:
        if not (off := _tried(receiver, trials, read_batch, "a batch")):
            return ""
        batched = off
    off = _tried(receiver, trials, PlainContext, "row by row")
    if not off and not proof.plain:
        proof.plain, proof.batched = True, batched
    return off


def _trials(receiver: Receiver, length: int) -> list[Trial]:
    """A trial of the receiver, and where rounding could hide something one of a copy in float32."""
    alone = _alone(receiver)
    if receiver.dtype == torch.float32:
        return [Trial(alone, length)]
    # weights that are stored in fewer bits have no other type
    if parameters(receiver) >= COPIED or getattr(receiver.model, "is_quantized", False):
        return [Trial(alone, length, times=ROUNDINGS_OF_HALVES)]
    exact: Any = copy.deepcopy(receiver.model)
    return [Trial(replace(alone, model=exact.float()), length, " in float32"), Trial(alone, length)]


def _tried(receiver: Receiver, trials: Sequence[Trial], read: Read, name: str) -> str:
    """Note what each part measures; what is off, by how much and why, in one line."""
    proof, length = receiver.proof, trials[0].length
    parts = [part for trial in trials for part in trial.parts(read, name).items()]
    known = any(f.length and proof.tested <= f.length < length for f in proof.features)
    if proof.tested and not known and parameters(receiver) * length > AFFORDABLE:
        kept = tuple(one + trial.where for one in DEAR for trial in trials)
        parts = [(part, measure) for part, measure in parts if part.endswith(kept)]

    def told(part: str, how: str) -> str:
        cause = blamed(proof.features, length, proof.tested, part)
        return f"{how} in rows of {length} tokens ({cause})"

    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part, measure in parts:
            try:
                one = measure()
            except Exception as error:
                # somebody's model: it may raise anything
                return told(part, f"{part}: {shown_error(error, 160)},")
            # so written that NaN, which is less than nothing, is found too
            if not one.worst <= one.allowed:
                off = f"{part} differ by {one.worst:.2g} nats (allowed {one.allowed:.2g})"
                return told(part, off)
            proof.measured.append(one)
    return ""


def _alone(receiver: Receiver) -> Receiver:
    """The same receiver, read by this process alone, of which nothing is known yet."""
    own = {one.name: getattr(receiver, one.name) for one in fields(Receiver)}
    return Receiver(**{**own, "proof": Proof()})


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows of up to `length` tokens, drawn by SEED, and what the model's own passes give.

    `where` is what messages add, of a copy in another precision. Scores may be off by so many
    `times` what rounding an input does.
    """

    receiver: Receiver
    length: int
    where: str = ""
    times: int = ROUNDINGS

    @cached_property
    def _tokens(self) -> Callable[[int], list[int]]:
        special = set(self.receiver.tokenizer.all_special_ids) | self.receiver.end_ids
        generator = torch.Generator().manual_seed(SEED)
        size = self.receiver.embedding.num_embeddings

        def draw(count: int) -> list[int]:
            ids: list[int] = []
            while len(ids) < count:
                token = int(torch.randint(size, (), generator=generator))
                # of a table of special tokens alone, any
                if token not in special or len(special) >= size:
                    ids.append(token)
            return ids

        return draw

    @cached_property
    def rows(self) -> list[tuple[list[int], list[int], list[int]]]:
        """What stands before, in and after the slots of rows of three lengths, padded in a batch.

        The second crosses what the first crosses; the third is as short as can be.
        """
        # what follows, options or what is said, takes the longest row's last tokens
        longest = self.length - SAID
        lengths = (longest, longest - BEYOND // 2, SLOT + 2)
        found = []
        for length in lengths:
            ids, before = self._tokens(length), max(1, (length - SLOT) * 2 // 3)
            found.append((ids[:before], ids[before : before + SLOT], ids[before + SLOT :]))
        return found

    @cached_property
    def options(self) -> list[list[list[int]]]:
        """Of the first row two options that begin alike, of the others one."""
        (a, b, c, *ends) = self._tokens(6)
        return [[[a, b, ends[0]], [a, c, ends[1]]], [[b, ends[2]]], [[c, ends[2]]]]

    @cached_property
    def vectors(self) -> list[Tensor]:
        """What is injected into each slot: means of two embeddings, which are no token's."""
        embed, pairs = self.receiver.embed, [self._tokens(2 * SLOT) for _ in self.rows]
        return [(embed(ids[:SLOT]) + embed(ids[SLOT:])) / 2 for ids in pairs]

    def parts(self, read: Read, name: str) -> dict[str, Callable[[], Measured]]:
        """What compares a way of reading with the model's own passes, by what messages call it.

        Args:
            read: opens a batch of contexts in that way.
            name: what messages call it.
        """
        befores, slots, afters = (list(one) for one in zip(*self.rows, strict=True))

        @cache
        def context() -> Context:
            return read(self.receiver, befores)

        @cache
        def of_tokens() -> Reading:
            return context().read([Slot(tuple(ids)) for ids in slots], afters, self.options)

        def of_vectors() -> Reading:
            return context().read([Slot(vectors=v) for v in self.vectors], afters, self.options)

        parts: dict[str, Callable[[], Pairs]] = {
            f"{name}: tokens": lambda: self._compared(of_tokens(), self._own_ids),
            f"{name}: vectors": lambda: self._compared(of_vectors(), self._own_vectors),
            "embeddings of tokens": self._embedded,
            f"{name}: greedy": lambda: self._lags(of_tokens().continuations(SAID)[0]),
            "generate": self._generated,
            "the same row read again": self._repeated,
        }
        return {
            part + self.where: partial(self._measured, part + self.where, pairs)
            for part, pairs in parts.items()
        }

    def _own_ids(self, row: int, branch: Sequence[int]) -> dict[str, Tensor]:
        before, slot, after = self.rows[row]
        return {"input_ids": self._ids([*before, *slot, *after, *branch])}

    def _own_vectors(self, row: int, branch: Sequence[int]) -> dict[str, Tensor]:
        embeddings = self.receiver.embedding(self._own_ids(row, branch)["input_ids"]).clone()
        start = len(self.rows[row][0])
        embeddings[0, start : start + SLOT] = self.vectors[row]
        return {"inputs_embeds": embeddings}

    def _ids(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(ids)], dtype=torch.long, device=self.receiver.device)

    def _scores(self, inputs: dict[str, Tensor], keep: int) -> Tensor:
        """Log-probabilities [keep, vocabulary] of a plain pass."""
        return plain_logits(self.receiver, inputs, keep).log_softmax(-1)

    @cached_property
    def _first(self) -> Tensor:
        """Of the first row and its first option, at all positions that are compared."""
        return self._scores(self._own_ids(0, self.options[0][0][:-1]), SAID)

    def _compared(
        self, reading: Reading, own: Callable[[int, Sequence[int]], dict[str, Tensor]]
    ) -> Pairs:
        """At each prompt's end and at each node of its options."""
        found = reading.at.float().log_softmax(-1)
        for row, options in enumerate(self.options):
            for option in options:
                nodes = reading.trees[row].path(option)
                yield found[row, nodes], self._scores(own(row, option[:-1]), len(nodes))

    def _embedded(self) -> Pairs:
        """Tokens' own embeddings, injected, are what the tokens are."""
        ids = self._own_ids(0, self.options[0][0][:-1])["input_ids"]
        yield self._scores({"inputs_embeds": self.receiver.embedding(ids)}, SAID), self._first

    def _repeated(self) -> Pairs:
        """The first row's pass gives what it gave before another was read."""
        self._scores(self._own_ids(2, []), 1)
        yield self._scores(self._own_ids(0, self.options[0][0][:-1]), SAID), self._first

    def _lags(self, said: Sequence[int]) -> Pairs:
        """Of each token said behind the first row, by how much another is more probable there.

        That is nothing but for rounding. Where less than SAID is said, an end is the next.
        """
        scores = self._scores(self._own_ids(0, said), len(said) + 1)
        found = [scores[i, token] for i, token in enumerate(said)]
        if len(said) < SAID:
            found.append(scores[len(said), sorted(self.receiver.end_ids)].max())
        yield torch.stack(found)[:, None], scores.amax(-1)[: len(found), None]

    def _generated(self) -> Pairs:
        """What the model's own `generate` goes by behind the first row, token by token."""
        model, ids = self.receiver.model, self._own_ids(0, [])["input_ids"]
        settings: Any = GenerationConfig
        plainly = settings(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=SAID,
            eos_token_id=sorted(self.receiver.end_ids) or None,
            pad_token_id=self.receiver.pad_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        generate: Any = model.generate
        output = generate(ids, attention_mask=torch.ones_like(ids), generation_config=plainly)
        logits = torch.cat(output.logits).float()
        said = output.sequences[0, ids.shape[1] :].tolist()
        yield logits.log_softmax(-1), self._scores(self._own_ids(0, said[:-1]), len(said))

    def _measured(self, part: str, pairs: Callable[[], Pairs]) -> Measured:
        """How far found log-probabilities [positions, n] are from the model's own."""
        worst = spread(pairs())
        allowed = TOLERANCE
        if worst > allowed:
            allowed = max(allowed, self.times * self.rounding)
        return Measured(part, self.length, worst, allowed)

    @cached_property
    def rounding(self) -> float:
        """What rounding alone does to a log-probability, in nats: the worst over the vocabulary.

        That is how far a plain pass is from itself where each number of its input is off by half
        a unit in the last place, up or down by lot.
        """
        ids = self._own_ids(0, self.options[0][0][:-1])["input_ids"]
        rows = self.receiver.embedding(ids)
        generator = torch.Generator().manual_seed(SEED)
        signs = torch.randint(2, rows.shape, generator=generator).to(rows.device) * 2 - 1
        step = 1 + signs * torch.finfo(rows.dtype).eps / 2
        off = (rows.double() * step).to(rows.dtype)
        plain, shaken = (self._scores({"inputs_embeds": given}, SAID) for given in (rows, off))
        return spread([(plain, shaken)])


def spread(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The largest difference of pairs of scores; NaN where one of them is NaN."""
    worst = 0.0
    for one, other in pairs:
        # an infinite score on both sides is the same score
        off = float(torch.where(one == other, 0.0, one - other).abs().max())
        worst = off if math.isnan(off) or off > worst else worst
        if math.isnan(worst):
            break
    return worst

"""A receiver proves itself: what LPCA reads is what the model's own forward pass gives.

A few rows of tokens drawn at random are read as an evaluation reads them: in one batch, padded,
behind a cached context, with several options side by side, as ids and with vectors injected, and
gone on from greedily. Each is compared with a plain pass of that row alone, and what is said with
the model's own `generate`. Where a batch is off and reading row by row is not, the receiver is
read row by row; where neither is exact it is refused.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

import torch

from lpca.base.errors import RequestError, shown_error
from lpca.receivers import TokenRows
from lpca.receivers.features import Proof, blamed, features_of
from lpca.receivers.forward import read_batch
from lpca.receivers.model import Receiver, refuse_changed_turns, refuse_too_long
from lpca.receivers.plain import PlainContext
from lpca.receivers.trial import BEYOND, ROUNDINGS_OF_HALVES, Read, Trial
from lpca.tasks import Episode

SHORT = 16
"""Tokens of the longest row that every receiver is tried with."""
AFFORDABLE = 4e8
"""Parameters times tokens up to which everything is tried. A length at which reading switches is
tried at loading then, else when a run's prompts cross it, and less of it, see DEAR."""
DEAR = (": tokens", "generate")
"""The parts that are tried where that is dear and nothing known is crossed by longer rows."""
COPIED = 5e8
"""A receiver of fewer parameters that computes in half precision is tried in float32 too, in a
copy: what rounding hides in short rows shows there."""
FREE_FACTOR, FREE_TOKENS = 2, 8
"""A free answer may take that many times the longest option's tokens, and so many more."""


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
    around, slot, slots = 0, k, 1
    for episode in episodes:
        messages = [receiver.message_ids(own.message) for own in episode.by_slot]
        texts = receiver.prompt_start_ids(episode.before) + receiver.prompt_end_ids(episode.after)
        between = sum(map(len, receiver.between_ids(episode)))
        options = [receiver.option_ids(option) for option in episode.options]
        around = max(around, len(texts) + between + most_said(episode, options))
        slot, slots = max(slot, *map(len, messages)), max(slots, len(messages))
    total, most = around + slot * slots, _most(receiver)
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

"""Is what B was given, under each condition, p0's prompt with that condition in its slot?

Injected vectors are compared by hash with what the codec makes of the message now: there is nothing
to tolerate, vectors are injected as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

from lpca.channel.packets import Packet
from lpca.gatespec.model import FEW_TOKENS, MESSAGE_LATENTS, OF_DONORS, TEXTS, TRUNCATED
from lpca.tasks import Episode, ToldEpisode, joined
from lpca.validity.catalogue import CHECKS, TRACED, CheckFailed, DoesNotApply, check

if TYPE_CHECKING:
    from torch import Tensor

    from lpca.channel.elsewhere import PacketFile
    from lpca.evaluation.outcome import ReceivedPrompt
    from lpca.validity.audit import Audit

T = TypeVar("T")
ALIEN_MESSAGE = "The quick brown fox jumps over the lazy dog."
_NO_TOKENS = ("embed", "alone")
"""Conditions whose slot holds a text that comes in as something else than its tokens."""
CHANCE = 1e-8
"""Probability up to which noise may be like the latents by chance."""


@CHECKS.register("prompt_is_p0s")
@check("B's prompt is p0's but for the slot", place=100, needs=("p0",), after=TRACED)
def prompt_is_p0s(audit: Audit) -> str:
    """Under every condition but text's, B's prompt is p0's with the packet in the slot.

    Reads the ids that the model was given in every episode. Catches a prompt builder that adds the
    message under some conditions, a crippled p0, and vectors behind those that crossed.
    """
    lengths = {"p0": [0] * len(audit.by_slot.episodes)}
    for condition in audit.injected():
        lengths[condition] = _lengths(audit, condition)
    for condition, wanted in lengths.items():
        for (where, _, slot), length in zip(_slots(audit, condition), wanted, strict=True):
            if len(slot) != length:
                raise CheckFailed(f"{where}: {len(slot)} positions, not {length}")
    return f"{len(audit.episodes)} episodes under {', '.join(lengths)}: byte for byte"


def _lengths(audit: Audit, condition: str) -> list[int]:
    """How many positions each slot is to have under a condition without text."""
    channel, count = audit.setting.coded(), len(audit.by_slot.episodes)
    if channel.fixed or condition == "static":
        return [audit.k] * count
    training = audit.setting.training_messages
    if condition == "mean":
        return [len(channel.mean_prefix(training))] * count
    if condition == "shaped":
        return [channel.training_prefixes(training).shape[1]] * count
    packets = _packets(audit, condition)
    return [0 if condition == "null" and one.ids is not None else len(one) for one in packets]


def _packets(audit: Audit, condition: str) -> Sequence[Packet]:
    """What B gets of the message that a condition is made of, in each slot."""
    from lpca.evaluation.conditions.builtin import (
        donor_views,
        empty_views,
        own_views,
        paraphrase_views,
    )

    episodes = audit.by_slot.episodes
    if condition in OF_DONORS:
        number = condition.removeprefix("shuffle").removeprefix("_")
        views = donor_views(episodes, int(number) if number else None)
    elif condition == "same_answer":
        views = paraphrase_views(episodes)
    elif condition == "empty":
        views = empty_views(episodes)
    else:
        views = own_views(episodes)
    return audit.setting.coded().packets(views)


@CHECKS.register("text_is_message")
@check(
    "text is the message, p5 its facts, in p0's prompt",
    place=110,
    after=TRACED,
    may_abstain=True,
)
def text_is_message(audit: Audit) -> str:
    """The slot, in p0's prompt, holds the message; under p2 what its bytes allow, under p5 facts.

    Under first_k, random_k and keywords_k it holds those k tokens of it or fewer. Catches a text
    that is crippled, so that retention of it looks high, one that says more, and one in which a
    control token's name is read as that token, which ends B's prompt.
    What p2 gives is not cut again here: characters are added until the next one would not fit.
    """
    evaluated = [name for name in TEXTS.among(audit.outcomes) if name not in _NO_TOKENS]
    if not evaluated:
        raise DoesNotApply(f"not evaluated: {', '.join(n for n in TEXTS if n not in _NO_TOKENS)}")
    for condition in evaluated:
        if condition in FEW_TOKENS:
            _hold_few_tokens(audit, condition)
            continue
        for where, episode, slot in _slots(audit, condition):
            text = _text_of(condition, episode)
            if token := audit.receiver.texts.control_in(audit.receiver.message_ids(text)):
                raise CheckFailed(f"{where}: the control token {token!r} stands in the slot's text")
            if slot != audit.slot_ids(text):
                what = "the message's text" if condition == "p1" else f"{text!r}"
                raise CheckFailed(f"{where}: the slot does not hold {what}")
    return f"{len(audit.episodes)} slots hold the message's tokens, in p0's prompt"


def _hold_few_tokens(audit: Audit, condition: str) -> None:
    """Raise CheckFailed where a slot holds more than k tokens of its message, or others."""
    from lpca.evaluation.conditions import CONDITIONS
    from lpca.evaluation.outcome import canonical_ids

    wanted = CONDITIONS[condition]().slots(audit.by_slot)
    rows = zip(_slots(audit, condition), wanted, _lengths(audit, condition), strict=True)
    for (where, episode, slot), own, k in rows:
        whole = audit.slot_ids(episode.message)
        if len(slot) > k:
            raise CheckFailed(f"{where}: {len(slot)} tokens stand in the slot; k is {k}")
        if condition == "first_k" and slot != whole[:k]:
            raise CheckFailed(f"{where}: the slot does not hold the message's first tokens")
        if slot != canonical_ids(audit.receiver, own.ids):
            raise CheckFailed(f"{where}: the slot does not hold the tokens that are its choice")


def _text_of(condition: str, episode: Episode) -> str:
    if condition == "p5":
        assert isinstance(episode, ToldEpisode)
        for name, value in episode.facts:
            if value not in episode.message:
                raise CheckFailed(
                    f"p5, episode {episode.seed}: {name} {value!r} is not in the message"
                )
        return ", ".join(f"{name}: {value}" for name, value in episode.facts)
    kept = ""
    for character in episode.message:
        if condition in TRUNCATED and len((kept + character).encode()) > TRUNCATED[condition]:
            break
        kept += character
    return kept


@CHECKS.register("prompt_ignores_message")
@check("another message changes nothing around the slot", place=120, needs=("p0",))
def prompt_ignores_message(audit: Audit) -> str:
    """With another message in the same episode, nothing but the slot changes.

    Evaluates a sample again, with a message of no task and with the donors'. Catches a prompt that
    is made of the message, in whatever disguise, where all conditions have it alike.
    """
    # packets made elsewhere are there for the messages that a gate's conditions need
    injected = [] if made_elsewhere(audit) else audit.injected()
    condition = injected[0] if injected else "p0"
    own = [audit.episodes[i].messages for i in audit.sample]
    donors = [audit.setting.episodes.donor(i).messages for i in audit.sample]
    alien = [(ALIEN_MESSAGE,) * len(messages) for messages in own]
    given = audit.given_with(condition, (own, alien, donors))
    around = list(map(_around, given))
    if around != around[: len(donors)] * 3:
        raise CheckFailed(f"{condition}: another message changes B's prompt around the slot")
    return f"{len(donors)} episodes with another message: only the slot changes"


def _slots(audit: Audit, condition: str) -> Iterator[tuple[str, Episode, tuple[int, ...]]]:
    """The ids in each slot of each episode; CheckFailed where the prompt around is not p0's."""
    for where, episode, record in audit.outcomes_of(condition):
        given = record.given
        if _around(given) != audit.prompt(episode):
            raise CheckFailed(f"{where}: B's prompt is not that of p0")
        if token := audit.receiver.texts.control_in(audit.own_ids(episode)):
            raise CheckFailed(f"{where}: the control token {token!r} stands in B's own text")
        if given.stop > len(given.ids):
            raise CheckFailed(f"{where}: the slot ends at {given.stop}, of {len(given.ids)} ids")
        for alone, slot in zip(episode.by_slot, given.in_packets, strict=True):
            yield where, alone, slot


def _around(given: ReceivedPrompt) -> tuple[tuple[int, ...], ...]:
    """The token ids before and after the slot; of several slots those between them too."""
    starts = [*(start for start, _ in given.spans), len(given.ids)]
    stops = [0, *(stop for _, stop in given.spans)]
    return tuple(given.ids[stop:start] for stop, start in zip(stops, starts, strict=True))


def _by_episode(audit: Audit, of_slots: Iterable[T]) -> Iterator[list[T]]:
    """What there is of each slot, episode by episode."""
    found = iter(of_slots)
    for episode in audit.episodes:
        yield [next(found) for _ in episode.by_slot]


@CHECKS.register("latents_injected")
@check("normal is what the codec makes of the message", place=130, needs=("normal",), after=TRACED)
def latents_injected(audit: Audit) -> str:
    """Under normal B got the codec's prefix of this episode's message.

    Catches a prefix that is computed and never injected, and more vectors than k.
    """
    _compare(audit, "normal", _packets(audit, "normal"), "the codec's own")
    return f"{len(audit.episodes)} prefixes: each is the codec's, of the episode's own message"


@CHECKS.register("shuffle_is_donors")
@check("shuffle is what the codec makes of another's", place=140, needs=("shuffle",), after=TRACED)
def shuffle_is_donors(audit: Audit) -> str:
    """Under shuffle B got the codec's prefix of the donor's message; under shuffle_N of one sender.

    Catches a shuffle that is normal, one of an episode that contradicts nothing, and one sender's
    packet in another's slot.
    """
    for condition in OF_DONORS.among(audit.outcomes):
        _compare(audit, condition, _packets(audit, condition), "those of its donor")
    return f"{len(audit.episodes)} prefixes: each is the codec's, of the donor's message"


@CHECKS.register("null_is_zero")
@check("null is exactly zero", place=160, needs=("null",), after=TRACED)
def null_is_zero(audit: Audit) -> str:
    """Under null B got as many vectors of norm zero as the packet has; of ids, nothing.

    Catches a null that is decoded, and so a LayerNorm's bias, or a small constant.
    """
    lengths = list(map(sum, _by_episode(audit, _lengths(audit, "null"))))
    for record, length in zip(audit.outcomes["null"], lengths, strict=True):
        norms = record.given.norms
        if len(norms) != length or any(norm != 0.0 for norm in norms):
            raise CheckFailed(f"episode {record.seed}: null's vectors have norms {list(norms)}")
    if len({*lengths}) == 1:
        return f"{len(lengths)} x {lengths[0]} vectors, all exactly zero"
    return f"{sum(lengths)} vectors in {len(lengths)} slots, all exactly zero"


@CHECKS.register("random_has_norms")
@check("random has each latent's own norm", place=170, needs=("random",), after=TRACED)
def random_has_norms(audit: Audit) -> str:
    """Under random every vector has the norm of the latent in its place; of ids there is none.

    Catches noise that is louder or quieter than what it stands for. Tolerance: rounding of the
    injected numbers, a thousandth in float32 and two hundredths in coarser types.
    """
    loose = 1e-3 if audit.is_exact else 2e-2
    packets = _by_episode(audit, _packets(audit, "random"))
    for noise, own in zip(audit.outcomes["random"], packets, strict=True):
        channel = audit.setting.coded()
        vectors = [channel.vectors_of(packet) for packet in own if packet.ids is None]
        norms = [norm for one in vectors for norm in one.norm(dim=1).tolist()]
        pairs = zip_longest(noise.given.norms, norms, fillvalue=-1.0)
        if any(abs(a - b) > loose * max(b, 1e-6) for a, b in pairs):
            raise CheckFailed(f"episode {noise.seed}: random's norms are not the latents' own")
    return f"{len(audit.outcomes['random'])} episodes: each vector has its latent's norm"


@CHECKS.register("random_is_noise")
@check("random has nothing else of the latents", place=180, needs=("normal", "random"))
def random_is_noise(audit: Audit) -> str:
    """Random's vectors are neither alike in direction to any latents nor made of their values.

    Reads a sample's vectors. Catches noise that is the latents, scaled, reordered or with noise
    added. Tolerance: a mean squared cosine that noise exceeds with probability `CHANCE`.
    """
    # not scipy.stats: loading it takes longer than all of this check
    from scipy.special import chdtri

    if any(slot.ids for slot in audit.slots_alone("random")):
        return _random_ids(audit)
    noise, fixed = audit.directions("random"), audit.setting.coded().fixed
    count, width = noise.shape[0], noise.shape[2]
    closest = 0.0
    for condition in audit.injected():
        if condition in ("random", "null"):
            continue
        latent = audit.directions(condition)
        if latent.shape[2] != width:
            # a cache of other layers than the packet's: `_compare` has said so
            continue
        alike = (noise @ latent.transpose(1, 2)).square().sum(0)
        # how many of the sample have vectors at both places
        both = (noise.norm(dim=-1) > 0).float().T @ (latent.norm(dim=-1) > 0).float()
        for at, there in zip(alike.flatten().tolist(), both.flatten().tolist(), strict=True):
            rows = count if fixed else int(there)
            if not rows:
                continue
            # a squared cosine with noise has mean 1/width; chi-squared/width bounds its tail
            most = float(chdtri(rows, CHANCE)) / rows / width
            closest = max(closest, at / rows)
            if at / rows > most:
                raise CheckFailed(
                    f"random points where {condition} does: mean squared cosine {at / rows:.2g}, "
                    f"of noise below {most:.2g}"
                )
        if _same_values(noise, latent):
            raise CheckFailed(f"random holds {condition}'s own values in another order")
    return f"{count} episodes: mean squared cosine with any latents at most {closest:.2g}"


def _random_ids(audit: Audit) -> str:
    """As `random_is_noise`, of ids: no more of them stand in a packet than luck brings there."""
    from scipy.special import bdtrc

    channel, shared, longest = audit.setting.coded(), 0, 0
    rows = list(zip(audit.slots_alone("random"), audit.sample_alone, strict=True))
    for condition in audit.injected():
        if condition not in MESSAGE_LATENTS:
            continue
        packets = _packets(audit, condition)
        own = [(slot.ids, packets[row].ids) for slot, row in rows]
        told = [(ids, set() if there is None else {*there.tolist()}) for ids, there in own]
        shared = sum(token in there for ids, there in told for token in ids)
        total, longest = sum(len(ids) for ids, _ in told), max(len(there) for _, there in told)
        luck = min(1.0, longest / channel.alphabet)
        if shared and luck < 1.0 and float(bdtrc(shared - 1, total, luck)) < CHANCE:
            raise CheckFailed(f"random holds {shared} of {total} ids of {condition}'s packets")
    return f"{len(rows)} episodes: ids that luck alone brings into packets"


def _same_values(one: Tensor, other: Tensor) -> bool:
    apart = (one.abs().sort(-1).values - other.abs().sort(-1).values).abs().amax(-1)
    # of latents that are zero everything is a reordering
    return bool((apart.le(1e-6) & one.norm(dim=-1).gt(0.0)).any())


@CHECKS.register("shaped_is_shaped", since=3)
@check(
    "shaped is noise with training latents' mean and covariance",
    place=185,
    needs=("shaped",),
    after=("splits_disjoint", *TRACED),
)
def shaped_is_shaped(audit: Audit) -> str:
    """Under shaped B got noise of the shape of training messages' prefixes, drawn by its seed.

    Catches noise that is made of the episode's own latents, or over test messages.
    """
    from lpca.evaluation.conditions.shaped import drawn, heads_of, shape_of

    count, channel = _training_messages(audit, "the shape"), audit.setting.coded()
    shape, heads = shape_of(audit.setting), heads_of(channel)
    seeds = [alone.seed for episode in audit.episodes for alone in episode.by_slot]
    noise = [channel.packet_of(drawn(shape, seed, heads)) for seed in seeds]
    _compare(audit, "shaped", noise, "noise of the shape of training latents")
    return f"{len(noise)} draws with mean and covariance of {count} training messages' prefixes"


@CHECKS.register("empty_is_empty", since=3)
@check(
    "empty is what the codec makes of no message",
    place=187,
    needs=("empty",),
    after=TRACED,
)
def empty_is_empty(audit: Audit) -> str:
    """Under empty all episodes got the codec's prefix of an empty message.

    Catches an empty message that is the episode's own.
    """
    _compare(audit, "empty", _packets(audit, "empty"), "those of an empty message")
    return f"{len(audit.episodes)} episodes: the codec's prefix of an empty message"


@CHECKS.register("static_is_static")
@check("static is one prefix, trained as the codec was", place=190, needs=("static",), after=TRACED)
def static_is_static(audit: Audit) -> str:
    """Under static all episodes got one prefix, trained as long as the codec was.

    Reads the injected vectors' hashes and norms and both training runs. Catches a control that
    sees the message, one that was hardly trained, and zeros put into its file.
    """
    hashes = _static_hashes(audit)
    if len(hashes) > 1:
        raise CheckFailed(f"static injected {len(hashes)} different prefixes: it sees the message")
    if any(norm == 0.0 for record in audit.outcomes["static"] for norm in record.given.norms):
        raise CheckFailed("a vector of static is zero, which no training leaves: that is null")
    own, control = audit.trained, audit.static_trained
    if own is not None and control is not None:
        for name in ("receiver", "k", "budget"):
            mine, theirs = getattr(own, name), getattr(control, name)
            if mine != theirs:
                raise CheckFailed(
                    f"static was trained with another {name}: {theirs}, the codec {mine}"
                )
    episodes = f"{len(audit.outcomes['static'])} episodes: one prefix"
    if audit.own is not None:
        return f"{episodes}, trained as lpca trains by default; how long the codec was is unknown"
    return f"{episodes}, trained with the codec's budget"


def _static_hashes(audit: Audit) -> set[str]:
    """What names each prefix that static injected; of a cache, which is turned, before its turn."""
    from lpca.evaluation.conditions.builtin import own_views
    from lpca.evaluation.outcome import cache_hash

    static = audit.setting.static
    if not audit.setting.of_caches or static is None:
        return {record.given.sha256 for record in audit.outcomes["static"]}
    packets = static.packets(own_views(audit.by_slot.episodes))
    hashes = {cache_hash(packet.cache) for packet in packets}
    if len(hashes) == 1:
        _compare(audit, "static", packets, "the trained cache")
    return hashes


@CHECKS.register("mean_is_mean")
@check(
    "mean is the mean latent of training messages",
    place=200,
    needs=("mean",),
    after=("splits_disjoint", *TRACED),
)
def mean_is_mean(audit: Audit) -> str:
    """Under mean all episodes got the codec's prefix of the mean latent of training messages.

    Catches a mean of the test message alone, or over test messages.
    """
    count = _training_messages(audit, "the mean")
    channel = audit.setting.coded()
    mean = channel.packet_of(channel.mean_prefix(audit.setting.training_messages))
    _compare(audit, "mean", [mean] * len(audit.by_slot.episodes), "the mean latent")
    return f"{len(audit.episodes)} episodes: the mean latent of {count} messages"


def _training_messages(audit: Audit, what: str) -> int:
    """How many messages something is taken over; CheckFailed where one of them is tested."""
    from lpca.codec.channel import as_view

    messages = audit.setting.training_messages
    told = {joined(as_view(message).messages) for message in messages}
    if shared := {one.message for one in audit.by_slot.episodes} & told:
        raise CheckFailed(f"{what} is taken over a test message: {min(shared)!r}")
    return len(messages)


@CHECKS.register("same_answer_agrees")
@check(
    "same_answer is the same answer in other words",
    place=210,
    needs=("same_answer",),
    after=TRACED,
)
def same_answer_agrees(audit: Audit) -> str:
    """Under same_answer B got the prefix of another message that names the same option only.

    Catches a paraphrase that is the message itself, whose success would be identity, not content.
    """
    for episode in audit.episodes:
        where, message, paraphrase = f"episode {episode.seed}", episode.message, episode.paraphrase
        if paraphrase == message:
            raise CheckFailed(f"{where}: the paraphrase is the message itself")
        if [o in message for o in episode.options] != [o in paraphrase for o in episode.options]:
            raise CheckFailed(f"{where}: the paraphrase does not name what the message does")
    _compare(audit, "same_answer", _packets(audit, "same_answer"), "those of the paraphrase")
    return f"{len(audit.episodes)} prefixes: each is the codec's, of the same answer in other words"


def made_elsewhere(audit: Audit) -> PacketFile | None:
    """The file of a channel whose packets were made elsewhere; None of any other."""
    from lpca.codec.user_codec import FilePackets

    channel = audit.setting.channel
    codec = None if channel is None else channel.codec
    return codec.file if isinstance(codec, FilePackets) else None


def _compare(audit: Audit, condition: str, packets: Sequence[Packet], whose: str) -> None:
    import torch

    from lpca.evaluation.outcome import cache_hash, canonical_ids, vectors_hash
    from lpca.receivers.caches import placed

    for record, own in zip(audit.outcomes[condition], _by_episode(audit, packets), strict=True):
        given = record.given
        vectors = [one.vectors for one in own if one.vectors is not None]
        if any(map(len, vectors)):
            weight = audit.receiver.embedding.weight
            same = given.sha256 == vectors_hash(torch.cat(vectors).to(weight))
            # of two packets one of which is empty only their places tell
            same &= len(own) == 1 or list(map(len, own)) == list(map(len, given.in_packets))
        elif own[0].cache and len(own[0]):
            put = placed(audit.receiver, own[0].cache, given.start)
            same = given.sha256 == cache_hash(put)
        else:
            ids = [[] if one.ids is None else one.ids.tolist() for one in own]
            wanted = tuple(canonical_ids(audit.receiver, packet) for packet in ids)
            same = given.in_packets == wanted
        if not same:
            raise CheckFailed(f"episode {record.seed}: {condition}'s vectors are not {whose}")

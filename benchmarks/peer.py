"""The same episodes, weights and dtype through EleutherAI's lm-evaluation-harness and through lpca.

Run `python benchmarks/peer.py [--dtype bfloat16]`; it needs `pip install lm_eval`. Both get the
same token ids in the same process, each with the batch size that is fastest for it. Three settings:

- `one token`: the message as text, options of one token each. The harness reads a context once for
  all of them.
- `several tokens`: the message as text, city names as they come. The harness reads the context once
  for each option.
- `seven conditions`: of the same episodes. The harness has no way to inject vectors: where lpca
  does, it is given as many tokens of text, other ones under each condition, so that its work is
  the same; choices are compared under p0 and p1.

lpca also decodes greedily, keeps what B was given, and writes its outcomes; the harness scores.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from measured import interleaved, publish, receiver_parser, repeated, waiting

from lpca.base.hashing import named_rng
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import Evaluated, evaluate
from lpca.evaluation.outcome import NEAR_TIE, Outcome
from lpca.receivers.forward import Slot
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import Episode, EpisodeSet
from lpca.tasks.kinds.trip import AFTER, LIST_LEAD, TRAIN_WORDINGS, Trip, city_names

TEXT = ("p1",)
SEVEN = ("p0", "p1", "embed", "normal", "null", "random", "shuffle")
BATCHES, TRIAL, K = (16, 32, 64), 64, 4


@dataclass(frozen=True)
class Case:
    """Episodes under some conditions."""

    name: str
    setting: Setting
    conditions: tuple[str, ...]

    def part(self, n: int) -> Case:
        """The same with the first n episodes."""
        s = self.setting
        return Case(
            self.name, Setting(s.receiver, s.channel, s.episodes.part(0, n)), self.conditions
        )

    def requests(self) -> list[tuple[tuple[str, str], list[int], list[int]]]:
        receiver = self.setting.receiver
        found = []
        for turn, condition in enumerate(self.conditions):
            slots = build_slots(condition, self.setting)
            for episode, slot in zip(self.setting.episodes, slots, strict=True):
                context = _context(receiver, episode, slot, turn)
                found += [
                    ((condition, option), context, receiver.option_ids(option))
                    for option in episode.options
                ]
        return found


def main() -> None:
    arguments = receiver_parser(__doc__, repeats=3, dtype="float32")
    arguments.add_argument("--episodes", type=int, default=96)
    given = arguments.parse_args()
    receiver = load_receiver(given.receiver, given.device, given.dtype)
    rows = [_row(case, given) for case in _cases(receiver, given.episodes)]
    settings = {"receiver": receiver.name, "dtype": given.dtype, "k": K, "n": given.episodes}
    publish("peer", rows, given.out, settings, str(receiver.device))


def _cases(receiver: Receiver, n: int) -> list[Case]:
    channel = Channel(receiver, TokenPooler(receiver, K), K)
    words = Setting(receiver, channel, one_token_episodes(receiver, n))
    names = Setting(receiver, channel, Trip().evaluation_set("validation", "seen", n, seed=1))
    return [
        Case("one token", words, TEXT),
        Case("several tokens", names, TEXT),
        Case("seven conditions", names, SEVEN),
    ]


def one_token_episodes(receiver: Receiver, n: int) -> EpisodeSet:
    """Episodes like those of `trip` whose options are cities of one token each."""
    names = [c for c in city_names("train", "seen") if len(receiver.option_ids(c)) == 1]
    rng = named_rng("benchmark", "one token", n)
    episodes = []
    for seed in range(n):
        options, answer = tuple(rng.sample(names, 4)), rng.randrange(4)
        wording = rng.choice(TRAIN_WORDINGS)
        episodes.append(
            Episode(
                seed=seed,
                stratum="seen",
                wording=wording,
                message=wording.format(city=options[answer]),
                before=f"{LIST_LEAD}{', '.join(options)}.",
                after=AFTER,
                options=options,
                answer=answer,
            )
        )
    return EpisodeSet(tuple(episodes), tuple((i + 1) % n for i in range(n)))


def _row(case: Case, given: argparse.Namespace) -> Mapping[str, Any]:
    receiver = case.setting.receiver
    wait = waiting(str(receiver.device))
    with tempfile.TemporaryDirectory() as folder:
        ours = _Ours(case, Path(folder))
        theirs = _Theirs(case)
        trial = case.part(min(TRIAL, len(case.setting.episodes)))
        ours.batch = min(
            BATCHES, key=lambda b: repeated(lambda: ours.run(trial, b), 1, 0, wait).median
        )
        theirs.batch = min(
            BATCHES, key=lambda b: repeated(lambda: theirs.run(trial, b), 1, 0, wait).median
        )
        works = {"lpca": lambda: ours.run(case), "harness": lambda: theirs.run(case)}
        seconds = interleaved(works, given.repeats, warm_ups=0, wait=wait)
    n = len(case.setting.episodes) * len(case.conditions)
    return {
        "setting": case.name,
        "tokens per option": _mean_option(case),
        "lpca outcomes/s": seconds["lpca"].rate(n),
        "harness outcomes/s": seconds["harness"].rate(n),
        "lpca / harness": seconds["harness"].per(seconds["lpca"]),
        "batches": f"{ours.batch} and {theirs.batch}",
        **_agreement(case, ours.found, theirs.scores),
    }


class _Ours:
    def __init__(self, case: Case, folder: Path) -> None:
        self.folder, self.count, self.batch = folder, 0, 0
        self.found: Evaluated | None = None

    def run(self, case: Case, batch: int | None = None) -> None:
        """Each time in a folder of its own: nothing comes from a cache."""
        self.count += 1
        where = self.folder / str(self.count)
        self.found = evaluate(case.setting, case.conditions, where, batch or self.batch)


class _Theirs:
    def __init__(self, case: Case) -> None:
        receiver = case.setting.receiver
        self.batch, self.scores = 0, list[float]()
        self.model = HFLM(
            pretrained=receiver.model,
            tokenizer=receiver.tokenizer,
            backend="causal",
            batch_size=1,
            device=str(receiver.device),
        )

    def run(self, case: Case, batch: int | None = None) -> None:
        self.model.batch_size_per_gpu = batch or self.batch
        with torch.no_grad():
            found = self.model._loglikelihood_tokens(case.requests(), disable_tqdm=True)
        self.scores = [score for score, _ in found]


def _agreement(case: Case, found: Evaluated | None, scores: Sequence[float]) -> Mapping[str, Any]:
    """How often both choose the same option, where both were given the same text."""
    assert found is not None
    same, compared, ties, apart = 0, 0, list[str](), 0.0
    following = iter(scores)
    for condition in case.conditions:
        for episode, record in zip(case.setting.episodes, found.outcomes[condition], strict=True):
            theirs = [next(following) for _ in episode.options]
            if condition not in ("p0", "p1"):
                continue
            compared += 1
            same += _best(record.scores) == _best(theirs)
            apart = max(apart, *(abs(a - b) for a, b in zip(record.scores, theirs, strict=True)))
            if _close(record):
                ties.append(f"{condition} {episode.seed}")
    return {
        "same choice": f"{same} of {compared}",
        "scores apart, nats": apart,
        "near ties": ", ".join(ties) or "none",
    }


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=lambda i: scores[i])


def _close(record: Outcome) -> bool:
    first, second = sorted(record.scores, reverse=True)[:2]
    return first - second < NEAR_TIE


def _context(receiver: Receiver, episode: Episode, slot: Slot, turn: int) -> list[int]:
    """Token ids of a prompt; for vectors, tokens of the message in their number, from the turn on.

    Of equal requests the harness computes one.
    """
    ids = list(slot.ids)
    if slot.vectors is not None:
        text = receiver.message_ids(episode.message)
        ids = [text[(turn + i) % len(text)] for i in range(len(slot))]
    before, after = receiver.prompt_start_ids(episode.before), receiver.segment_ids(episode.after)
    return [*before, *ids, *after]


def _mean_option(case: Case) -> float:
    receiver = case.setting.receiver
    lengths = [len(receiver.option_ids(o)) for e in case.setting.episodes for o in e.options]
    return sum(lengths) / len(lengths)


if __name__ == "__main__":
    main()

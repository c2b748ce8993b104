"""Whether verdicts in bfloat16 are those in float32: pairs of runs on the same episodes and codec.

    python benchmarks/precision.py --receiver stub --keep FOLDER
    python benchmarks/precision.py --judge --keep FOLDER --out benchmarks/results/precision.json

The first measures what `PAIRS` lists of a receiver, one file a pair in FOLDER, and goes on where it
was stopped. The second decides every pair in both precisions as a gate does, with the outcomes that
lie within the noise resolved for a claim and against it, and resamples the paired episodes: groups
are drawn whole, with replacement, the same ones in both precisions.

Codecs are sound, spoilt for some messages (the mean prefix, a magic prompt, stands for them) or
noisy. Beside the spec's gates a gate `near` is decided: its claims say what is exactly at its
margin by float32's estimates on the same codec's first seed, so that nothing it is decided on, and
nothing of bfloat16, has a part in it. Two runs are `own` where each precision has a codec that was
trained in it.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from measured import ROOT, machine, parser, publish
from safetensors.torch import load_file

from lpca.base.files import read_json, write_json
from lpca.base.hashing import named_rng, named_seed
from lpca.codec.architectures import make_codec
from lpca.codec.base import TrainableCodec
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import load_codec, write_tensors
from lpca.codec.recipe import STATIC_PREFIX, TOKEN_POOLER, Recipe, Stage
from lpca.codec.store import shipped_folder
from lpca.codec.training import Training
from lpca.gate.measure import MEAN_MESSAGES, Subject, measured
from lpca.gate.plan import task_of
from lpca.gatespec.claims import parse_claim
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Gate, Spec
from lpca.judge.looks import assessed
from lpca.judge.outcomes import OutcomeTable
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.stats.assessment import Assessment
from lpca.stats.claims import decidable
from lpca.stats.verdicts import Verdict, decide, gate_verdict
from lpca.tasks import Task

DTYPES = ("float32", "bfloat16")
GATE = "gate1"
GATES = ("gate0", "gate1", "gate2")
"""Those of the spec whose conditions Gate 1 has."""
NEAR = ("normal - p0", "normal - p1", "normal - shuffle")
"""What the gate `near` claims to exceed its own estimate on another seed."""
CLOSE = 0.03
"""A claim is close to its margin where float32's estimate is no further from it."""
CHECKS = (
    "receiver_frozen",
    "outcomes_traced",
    "slow_path_agrees",
    "plumbing_logits",
    "null_is_zero",
)
"""Validity checks that compute."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Pair:
    """A codec on the episodes of a seed, in both precisions.

    Attributes:
        receiver: what reads.
        codec: `trained`, `magic` (a share of messages gets the mean prefix), `noise`, or `own`.
        k: its number of vectors.
        seed: of the episodes.
        dose: the share of messages, or the noise as a share of a prefix's length.
        steps: how long it was trained; 0 for the shipped one.
        train_seed: with which seed.
        n: episodes.
    """

    receiver: str
    codec: str
    k: int
    seed: int
    dose: float = 0.0
    steps: int = 0
    train_seed: int = 0
    n: int = 300

    @property
    def subject(self) -> tuple[Any, ...]:
        """What is the same on all its seeds."""
        return tuple(value for key, value in asdict(self).items() if key != "seed")

    @property
    def title(self) -> str:
        """What its codec is, for people."""
        how = "shipped" if not self.steps else f"{self.steps} steps"
        kinds = {
            "trained": how,
            "magic": f"mean prefix for {100 * self.dose:.0f} %",
            "noise": f"noise {self.dose:g}",
            "own": f"each its own, {how}, seed {self.train_seed}",
        }
        return kinds[self.codec]

    @property
    def name(self) -> str:
        """A file's."""
        return "-".join(map(str, asdict(self).values()))


def _pairs() -> Iterator[Pair]:
    for seed in (101, 102, 103):
        for codec, dose, k in (
            ("trained", 0.0, 4),
            ("magic", 0.5, 4),
            ("magic", 1.0, 4),
            ("noise", 1.5, 4),
            ("trained", 0.0, 2),
        ):
            yield Pair("smollm2-135m", codec, k, seed, dose, n=160)
    for seed in (201, 202):
        yield Pair("smollm2-135m", "own", 4, seed, steps=40, n=160)
    for seed in (101, 102, 103):
        for k in (1, 2, 4, 8):
            yield Pair("stub", "trained", k, seed, steps=60)
        for codec, dose in (("magic", 0.5), ("magic", 0.9), ("magic", 1.0), ("noise", 1.0)):
            yield Pair("stub", codec, 4, seed, dose, steps=60)
    for train_seed in (0, 1, 2):
        for seed in (201, 202):
            yield Pair("stub", "own", 4, seed, steps=60, train_seed=train_seed)


PAIRS = tuple(_pairs())


class Dosed:
    """A codec some of whose prefixes are the mean one, or that is noisy; or its first k vectors."""

    def __init__(self, codec: TrainableCodec, pair: Pair, mean: torch.Tensor) -> None:
        self.codec, self.pair, self.mean = codec, pair, mean

    def encode(self, messages: Sequence[str]) -> torch.Tensor:
        prefixes = self.codec.decode(self.codec.encode(messages))[:, : self.pair.k].float()
        return torch.stack([self._spoilt(*one) for one in zip(messages, prefixes, strict=True)])

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents

    def _spoilt(self, message: str, prefix: torch.Tensor) -> torch.Tensor:
        pair = self.pair
        if pair.codec == "magic" and named_rng("dose", message).random() < pair.dose:
            return self.mean[: pair.k]
        if pair.codec == "noise":
            drawn = torch.Generator().manual_seed(named_seed("noise", message))
            each: torch.Tensor = torch.randn(prefix.shape, generator=drawn) / math.sqrt(
                prefix.shape[1]
            )
            lengths: torch.Tensor = prefix.norm(dim=1, keepdim=True)
            return prefix + pair.dose * lengths * each
        return prefix


def measure(pair: Pair, keep: Path) -> dict[str, Any]:
    """Both runs of a pair, as plain data."""
    spec = _spec(pair)
    found = {dtype: _run(pair, spec, dtype, keep) for dtype in DTYPES}
    return {"pair": asdict(pair), **found}


def _spec(pair: Pair) -> Spec:
    spec = load_spec(ROOT / "gate_specs.yaml").on_at_most(GATE, pair.n)
    # all conditions are evaluated, whatever Gate 0 says; it is judged beside
    gate = replace(spec.gates[GATE], requires=())
    task = replace(spec.task, seed=pair.seed)
    return replace(spec, task=task, gates={**spec.gates, GATE: gate})


def _run(pair: Pair, spec: Spec, dtype: str, keep: Path) -> dict[str, Any]:
    receiver, task = _receiver(pair.receiver, dtype), task_of(spec)
    trained_in = dtype if pair.codec == "own" else DTYPES[0]
    codec, static = (
        _codec(pair, receiver, task, architecture, trained_in, keep)
        for architecture in (TOKEN_POOLER, STATIC_PREFIX)
    )
    messages = [e.message for e in task.training_batch(0, MEAN_MESSAGES, 0)]
    mean = Channel(receiver, codec, _trained_k(pair)).mean_prefix(messages)
    subject = Subject(
        receiver,
        receiver.state_hash(),
        task,
        Channel(receiver, Dosed(codec, pair, mean), pair.k),
        Channel(receiver, static, _trained_k(pair)),
    )
    started, evaluated = time.process_time(), [0.0]

    def checking() -> None:
        evaluated[0] = time.process_time() - started

    with measured(
        spec, GATE, subject, keep / "cache", keep / "ledger", checking=checking, checks=CHECKS
    ) as found:
        held = found.table
        return {
            "seeds": list(held.seeds),
            "groups": list(held.groups or ()),
            "donor_groups": list(held.donor_groups or ()),
            "outcomes": {k: "".join("01"[bool(x)] for x in v) for k, v in held.outcomes.items()},
            "undecided": {k: "".join(map(str, v)) for k, v in held.undecided.items()},
            "noise": {name: own.noise for name, own in found.numbers.items()},
            "failed": {check.id: check.detail for check in found.failed_checks},
            "evaluation, s": round(evaluated[0], 2),
            "checks, s": round(time.process_time() - started - evaluated[0], 2),
        }


@cache
def _receiver(name: str, dtype: str) -> Receiver:
    return load_receiver(name, "cpu", dtype)


def _trained_k(pair: Pair) -> int:
    return pair.k if pair.steps else 4


def _codec(
    pair: Pair, receiver: Receiver, task: Task, architecture: str, trained_in: str, keep: Path
) -> TrainableCodec:
    """The codec, or the control, of a pair: shipped, kept or trained."""
    if not pair.steps:
        return load_codec(shipped_folder(4, architecture), receiver, 4)
    recipe = Recipe(architecture, stages=(Stage(pair.steps),))
    codec = make_codec(receiver, pair.k, recipe)
    told = (pair.receiver, architecture, pair.k, pair.steps, pair.train_seed, trained_in)
    path = keep / "codecs" / f"{'-'.join(map(str, told))}.safetensors"
    if not path.exists():
        teacher = _receiver(pair.receiver, trained_in)
        started = time.process_time()
        training = Training(
            teacher, task, lambda: make_codec(teacher, pair.k, recipe), pair.train_seed, recipe
        )
        training.run(lambda progress: None)
        print(f"{path.stem}: trained in {time.process_time() - started:.1f} CPU s", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, training.codec.state_dict())
    codec.load_state_dict(load_file(path))
    return codec


def outcomes(
    run: Mapping[str, Any], drawn: Sequence[tuple[int, int]] | None = None
) -> OutcomeTable:
    """A run's outcomes; of a resample those rows, each with the draw of its group.

    A group drawn twice is two groups, as in any bootstrap of clusters; donors keep their groups.
    """
    rows = drawn or [(row, 0) for row in range(len(run["seeds"]))]

    def of(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[row] for row, _ in rows)

    return OutcomeTable(
        seeds=tuple(f"{run['seeds'][row]}/{turn}" for row, turn in rows),
        outcomes={name: tuple(map(int, of(held))) for name, held in run["outcomes"].items()},
        groups=tuple(f"{run['groups'][row]}/{turn}" for row, turn in rows),
        donor_groups=tuple(f"{group}/0" for group in of(run["donor_groups"])),
        undecided={name: tuple(map(int, of(held))) for name, held in run["undecided"].items()},
    )


def draws(pair: Pair, groups: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How often each resample draws each group [count, groups], by a seed that the pair names."""
    rng = np.random.default_rng(named_seed("precision", pair.name))
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=count)


def near(pair: Pair, earlier: Mapping[str, Any]) -> Gate:
    """The gate whose margins are float32's estimates on the codec's first seed, to a point."""
    gate = _spec(pair).gates[GATE]
    held = outcomes(earlier[DTYPES[0]])
    criteria = []
    for difference in NEAR:
        more, less = difference.split(" - ")
        text = f"{difference} > {held.rate(more) - held.rate(less):.2f}"
        known = gate.criteria[1]
        criteria.append(replace(known, id=difference, claim=parse_claim(text), text=text))
    return replace(gate, name="near", criteria=tuple(criteria), requires=())


class Judged(NamedTuple):
    """What a gate comes to on one table of outcomes: its verdict, and that of each claim."""

    verdict: Verdict
    claims: list[Verdict]
    seen: list[Assessment]

    @classmethod
    def of(cls, gate: Gate, held: OutcomeTable, spec: Spec) -> Judged:
        """Decide as `lpca.judge.decide.judge_gate` does, without saying what more would do."""
        seen = assessed(gate.criteria, held, spec.evaluation)
        claims = decide(seen)
        return cls(gate_verdict(claims), claims, seen)


def compared(found: Mapping[str, Any], first: Mapping[str, Any], count: int) -> dict[str, Any]:
    """What a pair comes to in both precisions, and in how many of its resamples they differ.

    `first` is the pair of the same codec on its first seed, `count` the number of resamples.
    """
    pair = Pair(**found["pair"])
    spec, held = _spec(pair), [found[dtype] for dtype in DTYPES]
    gates = [spec.gates[name] for name in GATES]
    if first["pair"]["seed"] != pair.seed:
        gates.append(near(pair, first))
    rows = [row for gate in gates for row in _claims(gate, held, spec)]
    turned = sum((opposite(gate, found, spec, count) for gate in gates), Counter())
    differ = [
        sum(
            a != b
            for a, b in zip(held[0]["outcomes"][name], held[1]["outcomes"][name], strict=True)
        )
        for name in held[0]["outcomes"]
    ]
    undecided = [
        sum(len(one) - one.count("0") for one in run["undecided"].values()) for run in held
    ]
    return {
        "outcomes": pair.n * len(differ),
        "differ": sum(differ),
        "undecided": undecided[1],
        "verdicts": rows,
        "resamples": count,
        "turned": dict(turned),
    }


def _claims(gate: Gate, held: Sequence[Mapping[str, Any]], spec: Spec) -> list[dict[str, Any]]:
    """One row for each claim of a gate, in both precisions, and one for the gate."""
    one, other = (Judged.of(gate, outcomes(run), spec) for run in held)
    rows: list[dict[str, Any]] = []
    for index, criterion in enumerate(gate.criteria):
        exact, coarse = one.seen[index], other.seen[index]
        from_margin = min(abs(exact.estimate - margin) for margin in criterion.claim.margins)
        rows.append(
            {
                "gate": gate.name,
                "claim": criterion.text,
                **{d: str(run.claims[index]) for d, run in zip(DTYPES, (one, other), strict=True)},
                "estimates": [round(seen.estimate, 6) for seen in (exact, coarse)],
                "resolved": [round(seen.estimate, 6) for seen in coarse.resolved],
                "by rounding": bool(coarse.rounding and coarse.rounding.decides),
                # embed has p1's very inputs: what is claimed of them is about no sample
                "close": from_margin <= CLOSE and criterion.id != "plumbing",
            }
        )
    whole = {d: str(run.verdict) for d, run in zip(DTYPES, (one, other), strict=True)}
    return [*rows, {"gate": gate.name, "claim": None, **whole}]


def opposite(gate: Gate, found: Mapping[str, Any], spec: Spec, count: int) -> Counter[str]:
    """In how many resamples claims of a gate pass in one precision and fail in the other.

    A gate that passes in one and fails in the other has such a claim. It takes estimates on either
    side of a margin, which are quickly had for all resamples; the claim is decided in those where
    they are so, without Holm's correction, which only makes FAIL rarer.
    """
    pair, held = Pair(**found["pair"]), [found[dtype] for dtype in DTYPES]
    members: dict[str, list[int]] = {}
    for row, group in enumerate(held[0]["groups"]):
        members.setdefault(group, []).append(row)
    drawn = draws(pair, len(members), count)
    sizes = drawn @ np.array([len(rows) for rows in members.values()])
    tables = [outcomes(run) for run in held]
    seen, turned = Judged.of(gate, tables[0], spec).seen, Counter[str]()
    gates: set[int] = set()
    for criterion, exact in zip(gate.criteria, seen, strict=True):
        claim, region = decidable(criterion.claim), exact.region
        inside = []
        for table in tables:
            columns = [table.packed[name] for name in claim.conditions]
            values = np.array([claim.value(*row) for row in zip(*columns, strict=True)])
            means = drawn @ np.array([values[rows].sum() for rows in members.values()]) / sizes
            inside.append((region.low < means) & (means < region.high))
        one = replace(gate, criteria=(criterion,))
        for index in np.flatnonzero(inside[0] != inside[1]):
            turns = zip(drawn[index], members.values(), strict=True)
            rows = [(row, turn) for times, own in turns for turn in range(times) for row in own]
            verdicts = {Verdict.INCONCLUSIVE}
            for run in held:
                verdicts.add(found_now := Judged.of(one, outcomes(run, rows), spec).verdict)
                if found_now is Verdict.INCONCLUSIVE:
                    break
            else:
                if {Verdict.PASS, Verdict.FAIL} <= verdicts:
                    turned["claims opposite"] += 1
                    gates.add(int(index))
        turned["claims"] += count
        turned["claims apart"] += int((inside[0] != inside[1]).sum())
    return turned + Counter({"gates": count, "gates opposite": len(gates)})


def summary(found: Mapping[str, Any], judged: Mapping[str, Any]) -> dict[str, Any]:
    """A pair in one line."""
    pair, rows, turned = Pair(**found["pair"]), judged["verdicts"], judged["turned"]
    claims = [row for row in rows if row["claim"]]
    gates = [row for row in rows if not row["claim"]]
    seconds = [found[dtype]["evaluation, s"] for dtype in DTYPES]
    return {
        "receiver": pair.receiver,
        "codec": pair.title,
        "k": pair.k,
        "seed": pair.seed,
        "n": pair.n,
        "normal": " / ".join(
            str(found[dtype]["outcomes"]["normal"].count("1")) for dtype in DTYPES
        ),
        "differ": f"{judged['differ']} of {judged['outcomes']}",
        "undecided": judged["undecided"],
        "close": sum(row["close"] for row in claims),
        "gates alike": f"{sum(map(_alike, gates))} of {len(gates)}",
        "claims alike": f"{sum(map(_alike, claims))} of {len(claims)}",
        "opposite": sum({row[d] for d in DTYPES} == {"PASS", "FAIL"} for row in rows),
        "resampled: opposite": f"{turned.get('gates opposite', 0)} of {turned.get('gates', 0)}",
        "of claims": f"{turned.get('claims opposite', 0)} of {turned.get('claims', 0)}",
        "checks failed": ", ".join(found[DTYPES[0]]["failed"])
        + " / "
        + ", ".join(found[DTYPES[1]]["failed"]),
        "CPU s": " / ".join(f"{value:.0f}" for value in seconds),
    }


def _alike(row: Mapping[str, Any]) -> bool:
    return bool(row[DTYPES[0]] == row[DTYPES[1]])


def main() -> None:
    arguments = parser(__doc__, repeats=RESAMPLES)
    arguments.add_argument("--receiver", action="append", default=[], help="measure its pairs")
    arguments.add_argument("--keep", type=Path, required=True, metavar="FOLDER")
    arguments.add_argument("--judge", action="store_true", help="decide what was measured")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    paths = {pair: given.keep / "pairs" / f"{pair.name}.json" for pair in PAIRS}
    for pair, path in paths.items():
        if pair.receiver in given.receiver and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, measure(pair, given.keep))
            print(f"{time.strftime('%H:%M:%S')} {pair.name}", flush=True)
    if given.judge:
        there = {pair: read_json(path) for pair, path in paths.items() if path.exists()}
        _decide(there, given.repeats, given.keep, given.out)


def _decide(
    there: Mapping[Pair, Mapping[str, Any]], count: int, keep: Path, out: Path | None
) -> None:
    """Judge all pairs that were measured; print one line each, and write everything."""
    firsts = {pair.subject: found for pair, found in reversed([*there.items()])}
    rows, pairs = [], []
    for pair, found in there.items():
        path = keep / "judged" / f"{pair.name}-{count}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, compared(found, firsts[pair.subject], count))
        judged = read_json(path)
        rows.append(summary(found, judged))
        pairs.append({**found, "judged": judged})
    publish("precision", rows, None, {"resamples": count})
    if out is not None:
        settings = {"resamples": count, "close": CLOSE}
        about = {"benchmark": "precision", "machine": machine(), "settings": settings}
        write_json(out, {**about, "rows": rows, "pairs": pairs})


if __name__ == "__main__":
    main()

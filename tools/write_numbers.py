"""Write the tables of measured numbers that README.md and the documentation take from records.

    python tools/write_numbers.py

A table stands between `<!-- numbers: NAME -->` and `<!-- end -->`; `BLOCKS` says from which record
each is made. A test compares them with what stands in the pages.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lpca.commands.cli import main
from lpca.evidence.files import read_evidence
from lpca.report.terminal import gate_lines

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "lab").glob("*.md")),
)
SEEN, UNSEEN = "gate1-attempt-05", "gate1_open-attempt-03"
_BLOCK = re.compile(r"(<!-- numbers: (\S+) -->\n).*?(<!-- end -->)", re.S)


def filled(text: str) -> str:
    """A page with every table as its record has it."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]]()}\n\n{found[3]}", text)


def record(name: str) -> dict[str, Any]:
    """An attempt that `lpca record` kept."""
    return _json("docs", "experiments", f"{name}.json")


def grid(name: str) -> dict[str, Any]:
    """A table that `lpca lab` made."""
    return _json("docs", "lab", f"{name}.json")


def benchmark(name: str) -> dict[str, Any]:
    """What a benchmark wrote; `xeon/NAME` on the second machine."""
    return _json("benchmarks", "results", f"{name}.json")


def _json(*parts: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(ROOT.joinpath(*parts).read_text(encoding="utf-8"))
    return data


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"|{'|'.join(row)}|" if row[0] == "---" else f"| {' | '.join(row)} |" for row in lines
    )


def percent(part: float, *interval: float, places: int = 1) -> str:
    """A rate, and its interval where one is given."""
    return f"{100 * part:.{places}f} %" + (f" [{_pair(interval)}]" if interval else "")


def points(difference: Mapping[str, float]) -> str:
    """A difference with its interval, in points."""
    bounds = ", ".join(f"{100 * difference[end]:+.1f}" for end in ("low", "high"))
    return f"{100 * difference['mean']:+.1f} [{bounds}]".replace("-", "−")


def _pair(interval: Sequence[float]) -> str:
    return ", ".join(f"{100 * bound:.1f}" for bound in interval)


def gate1_terminal() -> str:
    """What the terminal shows of the recorded Gate 1."""
    evidence = read_evidence(ROOT / "docs" / "experiments" / f"{SEEN}.json")
    return "\n".join(["```text", *gate_lines(evidence, evidence.verdict), "```"])


def compare() -> str:
    """Two attempts compared by `lpca compare`, up to what it says of reading them."""
    folder, printed = ROOT / "docs" / "experiments", io.StringIO()
    attempts = [str(folder / f"gate1-attempt-0{number}.md") for number in (3, 4)]
    with contextlib.redirect_stdout(printed):
        main(["compare", *attempts, "--condition", "normal"])
    return f"```text\n{printed.getvalue().partition('Exploratory')[0].strip()}\n...\n```"


def gate1_rates() -> str:
    """Success by condition, on seen and on unseen answers."""
    both = [record(name)["conditions"] for name in (SEEN, UNSEEN)]
    rows = [[name, *(cell for one in both for cell in _rate(one.get(name)))] for name in both[0]]
    return table(["condition", "seen answers", "greedy", "unseen answers", "greedy"], rows)


def _rate(condition: Mapping[str, Any] | None) -> tuple[str, str]:
    if condition is None:
        return "", ""
    n, good = condition["n"], condition["likelihood"]["successes"]
    rate = percent(good / n, *condition["likelihood"]["interval"])
    return f"{good}/{n} = {rate}", percent(condition["greedy"]["successes"] / n)


DIAGNOSED = ("codec", "magic")


def diagnose() -> str:
    """What `lpca diagnose` measured of a codec that transmits and of a magic prompt."""
    both = [_json("docs", "images", f"diagnose-{name}.json")["parts"] for name in DIAGNOSED]
    rows = [[what, *(cell(parts) for parts in both)] for what, cell in _DIAGNOSES.items()]
    return table(["", "`codec`", "`magic`"], rows)


def _success(parts: Mapping[str, Any], *names: str) -> str:
    held = parts["episodes"]["conditions"]
    return "; ".join(_of(held[name], parts["episodes"]["n"]) for name in names)


def _of(held: Mapping[str, Any], n: int) -> str:
    return percent(held["successes"] / n, *held["interval"])


def _scale(part: Mapping[str, Any]) -> str:
    chosen, fresh = (percent(part[of]["normal"]["successes"] / 100) for of in ("swept", "fresh"))
    low, high = part["gain"]["interval"]
    gain = points({"mean": part["gain"]["difference"], "low": low, "high": high})
    return f"x {part['best']:g}: {chosen}; {fresh}; {gain}"


_DIAGNOSES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "normal (n = 100)": lambda parts: _success(parts, "normal"),
    "shuffle": lambda parts: _success(parts, "shuffle"),
    "null; random": lambda parts: _success(parts, "null", "random"),
    "p0; p1": lambda parts: _success(parts, "p0", "p1"),
    "mean cosine of different messages": lambda parts: f"{parts['similarity']['between']:.2f}",
    "reversed; tied, of 100": lambda parts: "; ".join(
        str(parts["episodes"]["reversed"][name]) for name in ("reversed", "ties")
    ),
    "probe (n = 400; chance 25 %)": lambda parts: (
        f"{_of(parts['probe'], parts['probe']['n'])}, p = {parts['probe']['p']:g}"
    ),
    "its control, mean (highest)": lambda parts: (
        f"{percent(parts['probe']['control']['mean'])} "
        f"({percent(parts['probe']['control']['highest'])})"
    ),
    "norm ratio": lambda parts: f"{parts['norms']['mean']:.2f}",
    "noise as long as the prefix": lambda parts: _of(parts["noise"][-1], parts["noise"][-1]["n"]),
    "best scale: chosen; fresh; gain there, points": lambda parts: _scale(parts["scale"]),
    "oracle (n = 40; before: 20 %)": lambda parts: _of(parts["oracle"]["oracle"], 40),
}


def lab_k() -> str:
    """Gate 1 at two k with three training seeds."""
    shown = ("normal", "random", "shuffle")
    rows = [
        [
            *(str(one["k"]), str(one["seed"]), one["verdict"]),
            *(_interval(one, name) for name in shown),
            *(points(one["effects"][name]) for name in ("normal - p0", "normal - shuffle")),
        ]
        for one in grid("k")["codecs"]
    ]
    names = [f"`{name}`" for name in shown]
    return table(["k", "seed", "gate", *names, "normal − p0", "normal − shuffle"], rows)


def _interval(codec: Mapping[str, Any], name: str) -> str:
    one = codec["conditions"][name]
    return percent(one["successes"] / one["n"], one["low"], one["high"])


ARCHITECTURES = {
    "token pooler": "token pooler (default)",
    "VQ": "VQ, 36 bits",
    "pooled MLP": "pooled MLP",
    "cross-attention": "cross-attention",
    "memory tokens": "memory tokens",
    "static prefix": "static prefix (sees no message)",
}
RECIPES = {
    "attempt 1: pooled, MSE": "attempt 1: pooled MLP, MSE",
    "attempt 2: pooled, help": "attempt 2: pooled MLP, help",
    "MSE": "token pooler, MSE",
    "similarity": "token pooler, similarity",
}


def lab_architectures() -> str:
    """Architectures under one objective."""
    rows = [
        [*_measured(one, shown), f"{one['cosine']:.2f}"]
        for one, shown in _named(grid("architectures"), ARCHITECTURES)
    ]
    return table([*_MEASURED("architecture"), "cosine"], rows)


def lab_objectives() -> str:
    """Objectives that never ask the receiver."""
    rows = [_measured(one, shown) for one, shown in _named(grid("objectives"), RECIPES)]
    return table(_MEASURED("recipe"), rows)


def _MEASURED(first: str) -> list[str]:  # noqa: N802
    return [first, "gate", "`normal`", "`shuffle`", "normal − shuffle"]


def _named(
    held: Mapping[str, Any], names: Mapping[str, str]
) -> list[tuple[Mapping[str, Any], str]]:
    codecs = {one["row"]: one for one in held["codecs"] if one["verdict"]}
    assert set(codecs) == set(names), (set(codecs), set(names))
    return [(codecs[name], shown) for name, shown in names.items()]


def _measured(codec: Mapping[str, Any], shown: str) -> list[str]:
    rates = [_interval(codec, name) for name in ("normal", "shuffle")]
    return [shown, codec["verdict"], *rates, points(codec["effects"]["normal - shuffle"])]


FAMILIES = {
    "truncation": ("the first tokens", "tokenizer", "none"),
    "keywords": ("names as tokens", "a rule", "none"),
    "Selective-Context-like": ("unforeseen words", "B's model", "none"),
    "LLMLingua": ("unforeseen tokens", "package, B's model", "none"),
    "cache, all layers": ("keys and values", "B's model", "none"),
    "KVComm-like": ("those of half the layers", "B's model", "none"),
    "Interlat-like, states": ("last states", "B's model", "none"),
    "Interlat-like, last state": ("one state", "B's model", "none"),
    "LatentMAS-like, hop 1": ("cache and 8 thoughts", "B's model", "none"),
    "LatentMAS-like, hop 2": ("the same of two agents", "B's model, twice", "none"),
    "xRAG-like": ("sentence embedding", "MiniLM", "ridge connector"),
    "AutoCompressor-like": ("summaries of 2 segments", "B's model, trained tokens", "none"),
    "gist-like": ("cache of 4 tokens", "B's model, trained tokens", "none"),
    "500xCompressor-like": ("cache of 4 tokens", "the same with LoRA", "none"),
    "ICAE-like": ("4 last states", "B's model with LoRA", "none"),
    "static prefix": ("4 vectors", "no message", "none"),
}
"""By row of examples/lab/field.yaml what crosses, and what A's and B's sides are."""
FIELD_HEAD = (
    *("family", "what crosses", "A's side", "B's side", "bits", "positions"),
    *("`normal`", "`shuffle`", "`first_k`", "verdict", "signature", "training"),
)


def field(run: str) -> str:
    """The families of channels under one gate, on one receiver."""
    held = grid(f"field-{run}")
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for one in held["codecs"]:
        groups.setdefault((one["row"], one["k"]), []).append(one)
    order = list(FAMILIES)
    ordered = sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    shared = next(one for one in held["codecs"] if one.get("conditions"))["conditions"]
    told = ", ".join(
        f"`{name}` {percent(one['successes'] / one['n'], one['low'], one['high'])}"
        for name, one in shared.items()
        if name in ("p0", "p1") or (name.startswith("p2_") and one["bits"] < shared["p1"]["bits"])
    )
    names = [name for name, _ in groups]
    rows = [
        _family(f"{name}, k = {k}" if names.count(name) > 1 else name, FAMILIES[name], own)
        for (name, k), own in ordered
    ]
    return f"n = {held['n']}: {told}.\n\n{table(FIELD_HEAD, rows)}"


def _family(name: str, about: Sequence[str], codecs: Sequence[Mapping[str, Any]]) -> list[str]:
    read = [one for one in codecs if one.get("conditions")]
    verdicts = [one["verdict"] or "not run" for one in codecs]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    verdict = ", ".join(f"{n} {one}" if len(codecs) > 1 else one for one, n in counts.items())
    if not read:
        why = next((one["reasons"][0] for one in codecs if one.get("reasons")), "")
        return [name, *about, *[""] * 5, verdict, why.partition(":")[0][:60], ""]
    own = [one["conditions"]["normal"] for one in read]
    trained = [one["seconds"]["training"] for one in read if one["seconds"]["training"] is not None]
    learned = {"nothing learned": "B ignores it"} if not trained else {}
    signatures = dict.fromkeys(learned.get(one["signature"], one["signature"]) for one in read)
    return [
        name,
        *about,
        f"{sum(one['bits']['bits'] for one in read) / len(read):,.0f}",
        f"{sum(one['tokens'] for one in own) / len(own):.1f}",
        *(_seeds([one["conditions"][of] for one in read]) for of in ("normal", "shuffle")),
        _seeds([one["conditions"]["first_k"] for one in read]).partition(" [")[0],
        verdict,
        ", ".join(signatures),
        f"{sum(trained) / len(trained):.0f} s" if trained else "",
    ]


def _seeds(rates: Sequence[Mapping[str, Any]]) -> str:
    """One training seed's rate with its interval; of several the mean and the range."""
    found = [one["successes"] / one["n"] for one in rates]
    mean = sum(found) / len(found)
    if len(found) == 1:
        return percent(mean, rates[0]["low"], rates[0]["high"])
    return percent(mean) + (f" ({_pair((min(found), max(found)))})" if len(set(found)) > 1 else "")


MACHINES = {"": "EPYC", "xeon/": "Xeon"}


def _runs(*names: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The machine, the dtype and the result of each run that was kept."""
    return [
        (machine, dtype, benchmark(f"{folder}{name}-{dtype}"))
        for folder, machine in MACHINES.items()
        for dtype in ("float32", "bfloat16")
        for name in names
        if (ROOT / "benchmarks" / "results" / f"{folder}{name}-{dtype}.json").is_file()
    ]


def throughput() -> str:
    """Evaluation and training as a share of a matrix product's rate."""
    rows = []
    for machine, dtype, run in _runs("throughput"):
        cells = [machine, dtype, f"{run['settings']['product GFLOP/s']:.0f} GFLOP/s"]
        for row, unit in zip(run["rows"], ("outcomes/s", "steps/s"), strict=True):
            share, rate = row["of a matrix product"]["median"], row[unit]["median"]
            flops = f"{row['GFLOP/s']['median']:.0f} GFLOP/s = {percent(share, places=0)}"
            cells.append(f"{flops} ({rate:{'.1f' if unit == 'outcomes/s' else '.2f'}} {unit})")
        rows.append(cells)
    return table(["machine", "dtype", "matrix product", "evaluation", "training"], rows)


def peer() -> str:
    """The same episodes through lm-evaluation-harness."""
    rows = [
        [
            *(machine, dtype, row["setting"]),
            *(spread(row[f"{who} outcomes/s"]) for who in ("lpca", "harness")),
            *(f"{row['lpca / harness']['median']:.2f}", row["same choice"]),
        ]
        for machine, dtype, run in _runs("peer")
        for row in run["rows"]
    ]
    head = ["lpca, outcomes/s", "harness", "ratio", "same choice"]
    return table(["machine", "dtype", "setting", *head], rows)


def naive() -> str:
    """Evaluation against a loop."""
    rows = [
        [
            *(machine, dtype),
            *(f"{row[f'{who} outcomes/s']['median']:.1f}" for who in ("lpca", "loop")),
            *(spread(row["lpca / loop"]), row["same option named"]),
        ]
        for machine, dtype, run in _runs("naive")
        for row in run["rows"]
    ]
    return table(["machine", "dtype", "lpca, outcomes/s", "loop", "ratio", "same option"], rows)


def spread(value: Mapping[str, float]) -> str:
    """A median with the least and the largest repeat."""
    median, low, high = (f"{value[name]:#.3g}" for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def early() -> str:
    """What stopping early saves, and how often gates pass with it and with all episodes at once."""
    rows = [
        [row["gate"], row["rule"], row["saved, %"], row["passes"], row["at once"]]
        for row in benchmark("early")["rows"]
        if row["truth"] == "as expected" and row["gate"] != "gate0"
    ]
    return table(["gate", "rule", "saved, %", "passes", "at once"], rows)


BLOCKS: Mapping[str, Callable[[], str]] = {
    "gate1-terminal": gate1_terminal,
    "gate1-rates": gate1_rates,
    "compare": compare,
    "diagnose": diagnose,
    "lab-k": lab_k,
    "lab-architectures": lab_architectures,
    "lab-objectives": lab_objectives,
    "field-stub": partial(field, "stub"),
    "field-smollm2": partial(field, "smollm2"),
    "throughput": throughput,
    "peer": peer,
    "naive": naive,
    "early": early,
}

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")

"""What the documentation states is what the records, the code and the pictures' sources say."""

from __future__ import annotations

import math
import re
import runpy
from importlib import import_module

import pytest
from pages import ROOT

from lpca.commands.cli import main
from lpca.stats.proportions import wilson

DOCS = ROOT / "docs"
WRITTEN = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted(DOCS.glob("*.md")),
    )
}
RECORDS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted((DOCS / "lab").glob("*.md"))
}
"""What was measured, page by page: as true as the rest, and as long as it has to be."""
EVERY = {**WRITTEN, **RECORDS}
MOST_WORDS = 28_000
MADE = runpy.run_path(str(ROOT / "tools" / "write_numbers.py"))
ROOMS = runpy.run_path(str(ROOT / "tools" / "draw_rooms.py"))


def test_there_is_no_more_than_anyone_reads():
    assert sum(len(text.split()) for text in WRITTEN.values()) <= MOST_WORDS


@pytest.mark.parametrize("page", [name for name, text in EVERY.items() if "numbers:" in text])
def test_tables_of_measured_numbers_are_made_from_their_records(page):
    assert MADE["filled"](EVERY[page]) == EVERY[page], "run python tools/write_numbers.py"


def test_every_table_that_can_be_made_stands_somewhere():
    shown = re.findall(r"<!-- numbers: (\S+) -->", "".join(EVERY.values()))
    assert sorted(shown) == sorted(MADE["BLOCKS"])


def test_the_rooms_are_drawn_and_listed_as_they_are():
    told = "run python tools/draw_rooms.py"
    assert ROOMS["PICTURE"].read_text(encoding="utf-8") == ROOMS["picture"](), told
    assert WRITTEN["CONTRIBUTING.md"] == ROOMS["with_rooms"](WRITTEN["CONTRIBUTING.md"]), told


COUNTED = re.compile(r"(\d+)/(\d+) = ([\d.]+) %(?: \[([\d.]+), ([\d.]+)\])?")
RATE = re.compile(r"(?<![−+\d.])([\d.]+) % \[([\d.]+), ([\d.]+)\]")
EPISODES = {
    "docs/lab/families.md": (400, 250, 1000),
    "docs/lab/capability.md": (400,),
    "docs/lab/diagnose.md": (100, 400, 40),
    "docs/lab/smollm2.md": (400, 240),
    "docs/lab/gate1.md": (400,),
    "docs/lab/third-party.md": (400,),
    "docs/lab/channels.md": (400,),
    "docs/lab/relay.md": (400,),
}
"""How many episodes the rates of a page are of, whose counts it does not show."""
OTHER_INTERVALS = {
    f"docs/lab/{name}.md"
    for name in ("architectures", "field", "gate2", "gemma", "k", "objectives")
}
"""Tables that `lpca lab` wrote, and runs whose intervals are over groups."""


@pytest.mark.parametrize("page", [name for name in EVERY if name not in OTHER_INTERVALS])
def test_counts_have_their_rate_and_every_rate_its_interval(page):
    text = EVERY[page]
    for good, n, rate, *bounds in COUNTED.findall(text):
        assert float(rate) == percent(int(good) / int(n)), (good, n)
        assert bounds == ["", ""] or as_shown(bounds) == interval(int(good), int(n)), (good, n)
    rates = RATE.findall(text)
    assert not rates or page in EPISODES, "say in EPISODES of how many episodes these rates are"
    for rate, *bounds in rates:
        assert any(is_rate(float(rate), as_shown(bounds), n) for n in EPISODES[page]), (
            rate,
            bounds,
        )


def percent(share):
    return float(f"{100 * share:.1f}")


def as_shown(bounds):
    return [float(bound) for bound in bounds]


def interval(successes, n):
    limits = wilson(successes, n, 0.95)
    return [percent(limits.low), percent(limits.high)]


def is_rate(rate, bounds, n):
    """Whether some number of successes of n has this rate and this interval."""
    near = round(rate * n / 100)
    return any(
        rate == percent(good / n) and bounds == interval(good, n)
        for good in (near - 1, near, near + 1)
        if 0 <= good <= n
    )


def stated():
    """A page, and what it must say by its record."""
    record, benchmark, grid = MADE["record"], MADE["benchmark"], MADE["grid"]
    gate1, opened = record(MADE["SEEN"]), record(MADE["UNSEEN"])
    minutes = sum(gate1["seconds"].values()) / 60
    rates = {
        name: f"{100 * one['likelihood']['successes'] / one['n']:.1f} %"
        for name, one in gate1["conditions"].items()
    }
    passed = [sum(check["passed"] is True for check in one["checks"]) for one in (gate1, opened)]
    yield "README.md", f"n = {gate1['looks']['used']} episodes"
    yield "README.md", f"{minutes:.1f} minutes"
    yield "README.md", f"right city in {rates['shuffle']} of episodes"
    yield "README.md", f"guessing (`p0`) gives {rates['p0']}"
    yield "docs/lab/gate1.md", f"({passed[0]} and {passed[1]} apply)"
    for name in (
        "null_equals_p0",
        "random_not_above_p0",
        "normal_above_p0",
        "normal_above_shuffle",
    ):
        one = next(one for one in gate1["criteria"] if one["id"] == name)
        low, high = (f"{100 * bound:+.1f}" for bound in one["interval"])
        yield "docs/lab/gate1.md", f"{100 * one['estimate']:+.1f}"
        yield "docs/lab/gate1.md", f"[{low}, {high}]"
    (gate2,) = grid("gate2")["codecs"]
    normal = gate2["conditions"]["normal"]
    yield "docs/lab/smollm2.md", f"`normal` {normal['successes']}/{normal['n']}"
    codecs = {
        one["row"]: one for name in ("architectures", "objectives") for one in grid(name)["codecs"]
    }
    page = "docs/diagnose.md"
    codec, magic = (
        MADE["_json"]("docs", "images", f"diagnose-{name}.json")["parts"]
        for name in MADE["DIAGNOSED"]
    )
    right = [one["episodes"]["conditions"]["normal"]["successes"] for one in (codec, magic)]
    told = [codec["episodes"]["reversed"]["reversed"], magic["episodes"]["reversed"]["ties"]]
    yield page, f"right in {right[0]} of 100 episodes, `magic` in {right[1]}"
    assert told == [1, 100]
    yield page, "one is reversed in the first, all are tied in the second"
    probe = codec["probe"]
    yield page, f"reads {100 * probe['successes'] / probe['n']:.1f} % of answers"
    page = "docs/lab/smollm2.md"
    mse, helped = codecs["attempt 1: pooled, MSE"], codecs["attempt 2: pooled, help"]
    yield page, f"fell to {mse['loss']['last']:.4f}"
    yield page, f"fell from {helped['loss']['first']:.2f} to {helped['loss']['last']:.2f}"
    yield page, f"became {helped['nll_gaps']['p0 - normal']['mean']:.2f} nats likelier"
    yield page, f"{MADE['points'](helped['effects']['normal - p0'])}".replace(" ", " points ", 1)
    part = MADE["points"](codecs["VQ"]["effects"]["normal - p0"]).partition(" ")
    yield page, f"{float(part[0]):.0f} points above `p0` {part[2]}"
    yield page, f"the codec that passes has {codecs['token pooler']['cosine']:.2f}"
    for name in ("p0", "p1", "null"):
        yield page, f"`{name}` {MADE['_interval'](codecs['token pooler'], name)}"
    magic = [row for row in benchmark("early")["rows"] if row["truth"] == "a magic prompt"]
    fleming, betting = (
        [float(row["false claim"].split()[0]) for row in magic if row["rule"].startswith(rule)]
        for rule in ("obrien", "e-process")
    )
    at_once = [float(row["claim at once"].split()[0]) for row in magic]
    told = [f"{of(shares):.3f}"[1:] for shares in (fleming, at_once) for of in (min, max)]
    yield "docs/lab/speed.md", "in {} to {} of the simulations".format(*told)
    yield "docs/lab/speed.md", "in {2} to {3} with all episodes at once".format(*told)
    yield (
        "docs/lab/speed.md",
        f"at most {max(betting):.3f}".replace("0.", ".") + " under the e-process",
    )
    growth = {(row["varied"], row["value"]): row for row in benchmark("xeon/growth")["rows"]}
    of_n = [growth["n", n] for n in (50, 100, 200, 500, 1000, 2000, 5000)]
    slow, fast = (f(row["ms per outcome"] for row in of_n) for f in (max, min))
    low, high = (f(row["exponent"] for row in of_n[1:]) for f in (min, max))
    yield "docs/speed.md", f"{fast:.1f} to {slow:.1f} ms an outcome"
    yield "docs/speed.md", f"exponents {low:.2f} to {high:.2f}"
    yield "docs/speed.md", f"{of_n[0]['peak, MiB']:.0f} MiB at n = 50"
    yield "docs/speed.md", f"{of_n[-1]['peak, MiB']:.0f} MiB at 5,000"
    yield "docs/speed.md", f"{of_n[-1]['growth, KiB per episode']:.0f} KiB an episode"
    for varied, ends in (("k", (1, 64)), ("options", (2, 8))):
        few, many = (growth[varied, end]["seconds"]["median"] for end in ends)
        yield "docs/speed.md", f"{ends[0]} → {ends[1]} take"
        yield "docs/speed.md", f"{few:.1f} → {many:.1f} s"
    start = {row["what"]: row for row in benchmark("start-user")["rows"]}
    for what, times in (("lpca check", "18 times"), ("pytest --collect-only gates/", "48 times")):
        yield "docs/speed.md", f"{start[what]['seconds']['median']:.2f} s, {times}"
        assert f"{start[what]['times python -c pass']['median']:.0f} times" == times
    empty = start["pytest --collect-only an empty test"]["seconds"]["median"]
    yield "docs/speed.md", f"{empty:.2f} s are pytest"
    *decided, plan = benchmark("decide")["rows"]
    clear, undecided = (
        {row["episodes"]: row["both, s"]["median"] for row in decided if bool(row["open"]) is flag}
        for flag in (False, True)
    )
    yield "docs/speed.md", f"in {1000 * clear[100_000]:.0f} ms ({1000 * undecided[100_000]:.0f} ms"
    yield "docs/speed.md", f"over a million in {clear[1_000_000]:.2f} s"
    yield "docs/speed.md", f"`lpca plan` takes {plan['seconds']['median']:.1f} s"
    products = {
        machine: run["settings"]["product GFLOP/s"]
        for machine, dtype, run in MADE["_runs"]("throughput")
        if dtype == "bfloat16"
    }
    times = products["Xeon"] / products["EPYC"]
    for page in ("docs/speed.md", "docs/lab/speed.md"):
        yield page, f"is {times:.1f} times as fast in bfloat16"
    shares = [
        100 * row["of a matrix product"]["median"]
        for _, dtype, run in MADE["_runs"]("throughput")
        for row in run["rows"]
        if dtype == "float32"
    ]
    yield "docs/speed.md", f"reach {min(shares):.0f} to {max(shares):.0f} %"
    ratios = [
        row["lpca / harness"]["median"]
        for _, _, run in MADE["_runs"]("peer")
        for row in run["rows"]
        if row["setting"] != "one token"
    ]
    yield "docs/speed.md", f"{min(ratios):.1f} to {max(ratios):.1f} times as fast with options"
    loops = [
        row["lpca / loop"]["median"] for _, _, run in MADE["_runs"]("naive") for row in run["rows"]
    ]
    yield "docs/speed.md", f"takes {min(loops):.0f} to {max(loops):.0f} times as long"
    saved = {
        (row["gate"], row["rule"].split()[0].rstrip(",")): row
        for row in benchmark("early")["rows"]
        if row["truth"] == "as expected"
    }
    for gate, rule, before in (
        ("gate1", "obrien-fleming", "saves {} % of Gate 1's"),
        ("gate1 without equivalences", "obrien-fleming", "{} % without its equivalences"),
        ("gate1_open", "obrien-fleming", "{} % of `gate1_open`'s"),
        ("gate2", "obrien-fleming", "{} % of `gate1_open`'s and `gate2`'s"),
        ("gate2", "e-process", "An e-process saves {} %"),
    ):
        share = float(saved[gate, rule]["saved, %"].split()[0])
        yield "docs/speed.md", before.format(round(share))
    open_ended = saved["gate1", "e-process"]
    passes, at_once = (
        round(100 * float(open_ended[of].split()[0])) for of in ("passes", "at once")
    )
    yield "docs/speed.md", f"passes in {passes} % of runs, where {at_once} % pass"
    page, known = (
        "docs/lab/field.md",
        {one["row"]: one for one in grid("field-stub")["codecs"][::-1]},
    )
    shown = {
        "text cut to 32 bytes gives {:.0f} %": ("keywords", "p2_32"),
        "the whole text {:.1f} %": ("keywords", "p1"),
        "gives {:.0f} % of all layers": ("cache, all layers", "normal"),
        "{:.0f} % of half of them": ("KVComm-like", "normal"),
        "as many tokens of text give {:.1f} %": ("KVComm-like", "first_k"),
        "thoughts behind it help ({:.1f} %)": ("LatentMAS-like, hop 1", "normal"),
        "names the question more ({:.1f} %)": ("LatentMAS-like, hop 2", "normal"),
        "at four positions of text B has {:.0f} %": ("gist-like", "first_k"),
    }
    for words, (row, condition) in shown.items():
        one = known[row]["conditions"][condition]
        yield page, words.format(100 * one["successes"] / one["n"])
    yield page, f"(`keywords`, {known['keywords']['bits']['bits']:.0f} bits)"
    yield page, f"at {known['keywords']['conditions']['p1']['bits']:.0f} bits"
    page = "docs/field.md"
    (names,) = (one for one in grid("field-smollm2")["codecs"] if one["row"] == "keywords")
    shown = {
        "text cut to 32 bytes gives {:.0f} %": (known["keywords"], "p2_32"),
        "(`keywords`) gives {:.0f} %": (known["keywords"], "normal"),
        "and {:.0f} % with another's": (known["gist-like"], "shuffle"),
        "caches of all layers give {:.0f} %": (known["cache, all layers"], "normal"),
        "(LatentMAS-like) {:.1f} %": (known["LatentMAS-like, hop 2"], "normal"),
        "the names alone give {:.0f} %": (names, "normal"),
        "the whole text {:.0f} %": (names, "p1"),
    }
    for words, (one, condition) in shown.items():
        found = one["conditions"][condition]
        yield page, words.format(100 * found["successes"] / found["n"])
    (gist,) = (row["numbers"] for row in grid("field-stub")["rows"] if row["row"] == "gist-like")
    low, high = (100 * gist["normal"][end] for end in ("low", "high"))
    yield page, f"(gist-like) give {low:.0f} to {high:.0f} % at 98,304 bits"
    assert known["gist-like"]["bits"]["bits"] == 98_304
    yield page, f"at {known['keywords']['bits']['bits']:.0f} bits"
    yield page, f"at {names['bits']['bits']:.0f} bits"
    two = benchmark("xeon/processes")["rows"][1]["times as fast as 1"]
    for page in ("docs/past-one-machine.md",):
        yield (
            page,
            f"{two['median']:.2f} times as fast as one ({two['low']:.2f} to {two['high']:.2f}",
        )


@pytest.mark.parametrize("page", sorted({page for page, _ in stated()}))
def test_measured_numbers_in_sentences_are_their_records(page):
    text = " ".join(EVERY[page].split()).replace("−", "-")
    said = [words.replace("−", "-") for of, words in stated() if of == page]
    assert [words for words in said if words not in text] == []


def test_the_page_of_planted_faults_has_every_fault_and_what_catches_it():
    from lpca.sabotage.catalogue import SABOTAGES

    every = SABOTAGES.values()
    text = (DOCS / "lab" / "sabotage.md").read_text(encoding="utf-8").partition("## On SmolLM2")[0]
    rows = {
        (fault, source): (verdict, set(re.findall(r"`([^`]+)`", by)))
        for fault, source, verdict, by in re.findall(
            r"^\| (.+?) \| (earlier|field|building) \| (\w+) \| (.+) \|$", text, re.M
        )
    }
    assert rows == {(one.fault, one.source): (one.verdict, set(one.caught_by)) for one in every}
    told = WRITTEN["docs/sabotage.md"]
    sources = [one.source for one in every]
    assert f"**{len(rows)} of {len(rows)}** planted faults" in told
    for source, words in (
        ("earlier", "of two earlier"),
        ("field", "met by"),
        ("building", "brought"),
    ):
        assert f"{sources.count(source)} {words}" in told


def words_of(picture):
    """The texts of a picture, which matplotlib writes above the shapes of their letters."""
    return re.findall(r"<!-- (.*?) -->", picture.read_text(encoding="utf-8"))


PICTURES = {
    "stub-pass-*": {
        "k4-glance": "glance-pass",
        "k4-similarity": "similarity",
        "capability": "capability",
    },
    "stub-fail-*": {"k4-glance": "glance-fail"},
}
"""Evidence in docs/images without its episodes, and the pages' pictures that are drawn of it."""


@pytest.mark.parametrize("sources", PICTURES)
def test_pictures_of_gates_are_drawn_from_their_evidence(sources, tmp_path):
    evidence = sorted((DOCS / "images").glob(f"{sources}.json"))
    assert main(["plot", *map(str, evidence), "--out", str(tmp_path)]) == 0
    for drawn, picture in PICTURES[sources].items():
        (made,) = tmp_path.glob(f"*{drawn}.svg")
        assert words_of(made) == words_of(DOCS / "images" / f"{picture}.svg"), picture


@pytest.mark.parametrize(
    "picture", sorted((DOCS / "experiments").glob("*.svg")), ids=lambda p: p.stem
)
def test_pictures_of_attempts_are_drawn_from_their_records(picture, tmp_path):
    assert main(["plot", str(picture.with_suffix(".json")), "--out", str(tmp_path)]) == 0
    assert words_of(tmp_path / f"{picture.stem}-glance.svg") == words_of(picture)


def test_pictures_of_the_lab_and_of_diagnoses_are_drawn_from_what_was_measured(tmp_path):
    from lpca.report.figures.diagnosis import reversals_figure, scales_figure
    from lpca.report.figures.lab import lab_figure
    from lpca.report.figures.style import svg

    def reversals(found):
        n = found["parts"]["episodes"]["n"]
        title = f"codec, k = {found['k']}: {n} validation episodes, no verdict"
        return reversals_figure(found["parts"]["episodes"], title)

    drawn = {
        "lab-architectures": (lab_figure, "lab/architectures"),
        "lab-objectives": (lab_figure, "lab/objectives"),
        "reversals": (reversals, "images/diagnose-codec"),
        "scales": (scales_figure, "images/diagnose-scales"),
    }
    for picture, (draw, source) in drawn.items():
        made = tmp_path / "made.svg"
        made.write_bytes(svg(draw(MADE["_json"]("docs", f"{source}.json"))))
        assert words_of(made) == words_of(DOCS / "images" / f"{picture}.svg"), picture


def test_the_picture_of_the_field_is_drawn_from_its_records(tmp_path):
    from lpca.report.figures.bits import bits_figure
    from lpca.report.figures.style import svg

    made = tmp_path / "made.svg"
    made.write_bytes(
        svg(bits_figure([MADE["grid"](f"field-{run}") for run in ("stub", "smollm2")]))
    )
    assert words_of(made) == words_of(DOCS / "images" / "field.svg")


def test_names_of_the_code_in_the_pages_are_there():
    dotted = re.compile(r"`(lpca(?:\.\w+)+)")
    for page, text in WRITTEN.items():
        for name in dotted.findall(text):
            module, _, last = name.rpartition(".")
            assert hasattr(import_module(module), last), (page, name)


def test_links_between_the_files_at_the_root_and_the_pages_are_whole():
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", WRITTEN[page]):
            assert (ROOT / target).is_file(), (page, target)


def test_a_subset_by_outcome_claims_what_the_page_says(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    runpy.run_path(str(ROOT / "tools" / "naive_subset.py"), run_name="__main__")
    made = re.findall(r"^\| (\w+) \| (\d+) \| (\S+) \| (\[.*\]) \|$", capsys.readouterr().out, re.M)
    assert len(made) == 3
    for name, n, difference, bounds in made:
        assert f"| {name} | {n} | {difference} {bounds} |" in EVERY["docs/lab/subset.md"]


def test_numbers_that_follow_from_a_formula():
    z = 1.6448536269514722
    fewest = [math.ceil(z * z * (1 - margin) / margin) for margin in (0.05, 0.02)]
    told = {
        "docs/statistics.md": f"{fewest[0]} for ±0.05, {fewest[1]} for ±0.02",
        "docs/validity.md": f"a sample of 24 finds one in {100 * (1 - 0.9**24):.0f} % of runs",
        "docs/checker-rules.md": f"in up to {100 * (1 - 0.975**7):.0f} % of runs",
        "docs/lab/capability.md": f"is {math.log2(150 * 560 * 150):.1f} bits",
    }
    for page, words in told.items():
        assert words in " ".join(EVERY[page].split()), page

"""Two attempts paired on the episodes they share, against counts made one by one."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from random import Random

import pytest
from made_evidence import evidence, judged, outcomes, save, signed
from scipy.stats import binomtest

from lpca.commands.cli import main
from lpca.evidence.files import parse_evidence
from lpca.gatespec.load import load_spec
from lpca.report.attempts.compare import DIFFERENCE
from lpca.report.attempts.compare import compare as compare_typed
from lpca.report.attempts.kept import RecordError
from lpca.report.attempts.kept import compact as compact_typed
from lpca.stats.assessment import assess_counts
from lpca.stats.proportions import tango_test
from lpca.stats.tables import PairedTable

A_NORMAL = [True] * 50 + [False] * 10
B_NORMAL = [False] * 12 + [True] * 45 + [False] * 3


def compare(first, second, asked=()):
    return compare_typed(parse_evidence(first), parse_evidence(second), asked)


def compact(held):
    return compact_typed(parse_evidence(held)).data


@pytest.fixture
def pair(tmp_path):
    """60 episodes each; the last 40 of A are the first 40 of B."""
    first = evidence(tmp_path, outcomes() | {"normal": A_NORMAL}, first_seed=0)
    second = evidence(tmp_path, outcomes() | {"normal": B_NORMAL}, first_seed=20)
    for episode in (*first["episodes"], *second["episodes"]):
        episode["group"] = f"group of {episode['seed']}"
    return first, second


@pytest.fixture
def spec(pair, tmp_path):
    """What both were judged by."""
    return load_spec(str(tmp_path / "made_specs.yaml"))


def counted(first, second, condition, score="likelihood"):
    """The paired table, counted by looking for each episode of A in B."""
    cells = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for one in first["episodes"]:
        for other in second["episodes"]:
            if one["seed"] == other["seed"]:
                found = (one["outcomes"][condition][score], other["outcomes"][condition][score])
                cells[found] += 1
    return tuple(cells.values())


def score_test(b, c):
    """Twice the smaller tail of the score of two rates that are equal: (b - c) / sqrt(b + c)."""
    return math.erfc(abs(b - c) / math.sqrt(2 * (b + c))) if b + c else 1.0


def test_only_shared_episodes_are_paired_and_each_is_counted_once(pair):
    found = compare(*pair)
    assert (found.shared, found.only_first, found.only_second) == (40, 20, 20)
    assert [one.condition for one in found.conditions] == list(pair[0]["conditions"])
    for one in found.conditions:
        table = one.table
        assert (table.a, table.b, table.c, table.d) == counted(*pair, one.condition)
        assert one.p == pytest.approx(score_test(table.b, table.c), abs=1e-12)


def test_the_interval_holds_every_difference_that_is_not_rejected(pair):
    (normal,) = compare(*pair, ["normal"]).conditions
    kept = [
        delta / 1000
        for delta in range(-1000, 1001)
        if tango_test(normal.table, delta / 1000, "greater") > 0.025
        and tango_test(normal.table, delta / 1000, "less") > 0.025
    ]
    assert normal.interval.low == pytest.approx(min(kept), abs=1e-3)
    assert normal.interval.high == pytest.approx(max(kept), abs=1e-3)
    assert normal.interval.low < normal.table.difference < normal.interval.high


def test_the_other_way_round_the_sign_turns(pair):
    (one,), (other,) = (
        compare(*pair, ["normal"]).conditions,
        compare(*reversed(pair), ["normal"]).conditions,
    )
    assert other.table == one.table.swapped
    assert (other.interval.low, other.interval.high) == (-one.interval.high, -one.interval.low)


def test_a_record_compares_as_its_evidence_does(pair):
    first, second = pair
    assert compare(compact(first), second) == compare(first, second)
    assert compare(first, compact(second)) == compare(first, second)


def test_the_interval_excludes_no_difference_exactly_when_p_is_below_its_level(tmp_path):
    base = parse_evidence(evidence(tmp_path, outcomes(24)))

    def attempt(values, groups, looks):
        episodes = []
        for episode, value, group in zip(base.episodes, values, groups, strict=True):
            found = replace(episode.outcomes["normal"], likelihood=value)
            episodes.append(replace(episode, group=group, outcomes={"normal": found}))
        return replace(
            base,
            looks=looks,
            episodes=tuple(episodes),
            conditions={"normal": base.conditions["p0"]},
        )

    fixed = base.looks
    rules = [
        fixed,
        replace(fixed, rule="e-process", sizes=(8, 16, 24), look=3),
        replace(fixed, rule="obrien-fleming", sizes=(12, 24, 36), look=2),
        replace(fixed, rule="obrien-fleming", sizes=(10, 20, 30), look=3),
    ]
    seen = set()
    for seed in range(80):
        random = Random(seed)
        sizes = random.choices([1, 1, 2, 5], k=24)
        groups = [f"g{place}" for place, size in enumerate(sizes) for _ in range(size)][:24]
        rates = random.choice([(0.5, 0.5), (0.8, 0.4), (0.9, 0.1), (0.0, 0.0)])
        columns = [[random.random() < rate for _ in groups] for rate in rates]
        looks = random.choice(rules)
        pair = attempt(columns[0], groups, looks), attempt(columns[1], groups, fixed)
        (one,) = compare_typed(*pair).conditions
        excluded = not one.interval.low <= 0.0 <= one.interval.high
        assert excluded == (one.p < 0.05), seed
        seen.add((looks.rule, excluded))
    assert len(seen) == 6


def test_a_sequence_over_few_donors_is_no_surer_than_the_score_over_them(tmp_path):
    """One of two donors' groups is misread by B alone: twelve of twelve, and one event."""
    base = parse_evidence(evidence(tmp_path, outcomes(24)))
    looks = replace(base.looks, rule="e-process", sizes=(8, 16, 24), look=3)

    def attempt(fails, donors):
        episodes = []
        for index, episode in enumerate(base.episodes):
            value = not (fails and index % 2)
            found = replace(episode.outcomes["normal"], likelihood=value)
            held = {"outcomes": {"shuffle": found}, "group": f"g{index}"}
            donor = base.episodes[(index + 1) % len(base.episodes)].seed
            named = f"d{index % 2}" if donors else f"d{index}"
            episodes.append(replace(episode, donor=donor, donor_group=named, **held))
        conditions = {"shuffle": base.conditions["p0"]}
        return replace(base, looks=looks, episodes=tuple(episodes), conditions=conditions)

    (apart,) = compare_typed(attempt(False, False), attempt(True, False)).conditions
    (few,) = compare_typed(attempt(False, True), attempt(True, True)).conditions
    assert apart.interval.low > 0.0
    assert apart.p < 0.05
    assert few.interval.low <= 0.0
    assert few.p >= 0.05


def test_the_score_and_its_interval_agree_on_every_table_of_forty_pairs():
    seen = set()
    for b in range(41):
        for c in range(41 - b):
            found = assess_counts(DIFFERENCE, PairedTable(0, b, c, 40 - b - c))
            excluded = not found.interval.low <= 0.0 <= found.interval.high
            assert excluded == (2.0 * min(found.p_pass, found.p_fail) < 0.05), (b, c)
            seen.add((excluded, (b + c > 0 and binomtest(b, b + c).pvalue < 0.05)))
    # McNemar's exact p, which stood beside the interval, contradicts it in some
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("rule", "sizes", "shared", "stop"),
    [
        (None, (), 40, (1, 1)),
        ("obrien-fleming", (20, 40, 60), 40, (2, 3)),
        ("obrien-fleming", (30, 60), 40, (None, None)),
        ("e-process", (20, 40, 60), 40, (None, None)),
    ],
)
def test_a_stopping_rule_widens_the_interval(pair, rule, sizes, shared, stop):
    fixed = compare(*pair, ["normal"])
    for held in pair:
        held["looks"] |= {"rule": rule, "sizes": list(sizes), "look": 2} if rule else {}
    found = compare(*pair, ["normal"])
    assert (found.shared, (found.stop.look, found.stop.looks)) == (shared, stop)
    (one,), (other,) = found.conditions, fixed.conditions
    assert (one.interval.low < other.interval.low) is (rule is not None)
    assert (one.p > other.p) is (rule is not None)


def test_groups_count_for_less_than_their_episodes(pair, spec, tmp_path, capsys):
    single = compare(*pair, ["normal"])
    for held in pair:
        for episode in held["episodes"]:
            episode["group"] = f"wording {episode['seed'] // 10}"
    found = compare(*pair, ["normal"])
    assert (single.groups, found.groups) == (40, 4)
    assert found.conditions[0].interval.low < single.conditions[0].interval.low
    pair = [judged(held | {"gate": "base"}, spec) for held in pair]
    files = [save(tmp_path / f"{name}.json", held) for name, held in zip("ab", pair, strict=True)]
    assert main(["compare", *files, "--condition", "normal"]) == 0
    assert "40 episodes are in 4 groups" in capsys.readouterr().out


def another_task(held):
    held["task"]["seed"] = 6


def another_message(held):
    held["episodes"][3]["message"] = "Other words for the same city."


def other_options(held):
    held["episodes"][3]["options"][1:3] = reversed(held["episodes"][3]["options"][1:3])


def another_prompt(held):
    held["episodes"][3]["outcomes"]["p0"]["prompt_sha256"] = "0" * 64


def none_shared(held):
    for episode in held["episodes"]:
        episode["seed"] += 1000


def one_twice(held):
    held["episodes"][1] = held["episodes"][0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (another_task, "seed 5 and 6"),
        (another_message, "episode 23 is not the same"),
        (other_options, "episode 23 is not the same"),
        (another_prompt, "episode 23 had another prompt under p0"),
        (none_shared, "share no episode"),
        (one_twice, "stands twice"),
    ],
)
def test_what_is_not_the_same_episode_is_not_paired(pair, change, says):
    first, second = pair[0], deepcopy(pair[1])
    change(second)
    with pytest.raises(RecordError, match=says):
        compare(first, second)


def test_another_receiver_is_warned_of_and_its_prompts_are_not_compared(pair):
    first, second = pair[0], deepcopy(pair[1])
    second["hashes"]["receiver"] = "bb"
    another_prompt(second)
    (warning,) = compare(first, second).warnings
    assert "receivers differ" in warning


def test_other_scores_and_other_donors_are_warned_of(pair):
    first, second = pair[0], deepcopy(pair[1])
    second["score"] = "greedy"
    second["episodes"][0]["donor"] += 5
    found = compare(first, second)
    assert found.score == "likelihood"
    assert "B by greedy" in found.warnings[0]
    assert "1 of 40" in found.warnings[1]


def test_the_command_shows_one_row_and_says_that_it_is_exploratory(pair, tmp_path, capsys):
    files = [save(tmp_path / f"{name}.json", held) for name, held in zip("ab", pair, strict=True)]
    assert main(["compare", *files, "--condition", "normal"]) == 0
    text = capsys.readouterr().out
    a, b, c, d = counted(*pair, "normal")
    (row,) = [line for line in text.splitlines() if line.startswith("normal")]
    assert f" {a} {b} {c} {d} " in row
    assert f"{100 * (b - c) / 40:+.1f}" in row
    assert "40 episodes shared, 20 only in A, 20 only in B" in text
    assert "Exploratory" in text
    assert max(map(len, text.splitlines())) <= 80


def test_outcomes_of_an_invalid_attempt_are_not_read(pair, tmp_path, capsys):
    broken = evidence(tmp_path, failed="null_is_zero")
    files = [save(tmp_path / "a.json", pair[0]), save(tmp_path / "b.json", broken)]
    assert main(["compare", *files]) == 7
    text = capsys.readouterr().out
    assert text.startswith("B is INVALID")
    assert "McNemar" not in text


def altered(held, _):
    one = held["episodes"][0]["outcomes"]["normal"]
    one["likelihood"] = not one["likelihood"]


def shuffle_missing(held, spec):
    for episode in held["episodes"]:
        del episode["outcomes"]["shuffle"]
    del held["conditions"]["shuffle"]
    held |= judged(signed(held), spec)


@pytest.mark.parametrize(
    ("change", "condition", "says"),
    [
        (altered, "normal", "not those it was written with"),
        (shuffle_missing, "shuffle", "shuffle was not run in both; allowed: p0, p1"),
        (lambda held, _: held.pop("hashes"), "normal", "hashes is missing"),
        (lambda held, _: held.update(episodes=3), "normal", "episodes is 3; allowed: a list"),
        (lambda held, _: held.clear(), "normal", "neither a run's evidence"),
    ],
)
def test_what_cannot_be_compared_is_one_line(pair, spec, tmp_path, capsys, change, condition, says):
    held = deepcopy(pair[1])
    change(held, spec)
    files = [save(tmp_path / "a.json", pair[0]), save(tmp_path / "b.json", held)]
    assert main(["compare", *files, "--condition", condition]) == 4
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1

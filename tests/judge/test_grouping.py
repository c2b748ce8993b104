"""Which rows of a table count together, and what a look may see of them."""

from dataclasses import replace

from lpca.gatespec.load import load_spec
from lpca.judge.decide import judge
from lpca.judge.outcomes import OutcomeTable, WholeGroups, clusters_of

SPEC = """
version: 1
task: {{name: trip, options: 4, seed: 7}}
evaluation: {{n: 40, checkpoints: 1, cluster: {cluster}}}
gates:
  gate1:
    conditions: [p0, normal, null, shuffle]
    expect: {{p0: 0.25, normal: 0.75, null: 0.25, shuffle: 0.05}}
    {rule}
    criteria:
      - {{id: above_p0, claim: normal - p0 > 0.10}}
      - {{id: above_null, claim: normal - null > 0}}
      - {{id: above_shuffle, claim: normal - shuffle > 0}}
"""


def table(groups: list[int] | None, n: int = 40) -> OutcomeTable:
    """One episode in four is solved without a message too, the first ones: whole groups of them."""
    ones, quarter = (True,) * n, tuple(i < n // 4 for i in range(n))
    outcomes = {"p0": quarter, "normal": ones, "null": quarter, "shuffle": quarter}
    names = None if groups is None else tuple(map(str, groups))
    return OutcomeTable(tuple(range(n)), outcomes, groups=names)


def verdict(tmp_path, groups, cluster="group", rule="", n=40):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(cluster=cluster, rule=rule))
    return judge(load_spec(str(path)), "gate1", table(groups, n))


def test_eight_documents_do_not_pass_and_are_told_how_many_would(tmp_path) -> None:
    found = verdict(tmp_path, [i // 5 for i in range(40)])
    assert found.verdict == "INCONCLUSIVE"
    first = found.criteria[0]
    assert "40 episodes in 8 groups do not decide" in first.message
    assert first.needed_groups is not None
    assert first.needed_groups > 8
    assert f"{first.needed_groups} groups would show it" in first.message
    # as many do indeed
    each = 5
    n = first.needed_groups * each
    path = tmp_path / "more.yaml"
    path.write_text(SPEC.format(cluster="group", rule=f"n: {n}"))
    more = judge(load_spec(str(path)), "gate1", table([i // each for i in range(n)], n))
    assert more.criteria[0].verdict == "PASS"


def test_episodes_count_alone_where_the_spec_says_so_with_a_reason(tmp_path) -> None:
    found = verdict(tmp_path, [i // 5 for i in range(40)], 'none, why: "one document each"')
    assert found.verdict == "PASS"
    assert found == verdict(tmp_path, None)


def test_one_criterion_may_count_episodes_alone(tmp_path) -> None:
    path = tmp_path / "spec.yaml"
    text = SPEC.format(cluster="group", rule="")
    alone = "normal - null > 0, cluster: none, why: one computation"
    path.write_text(text.replace("normal - null > 0", alone))
    found = judge(load_spec(str(path)), "gate1", table([i // 5 for i in range(40)]))
    lows = [one.interval.low for one in found.criteria if one.interval]
    assert lows[1] > lows[0] == lows[2]
    assert [one.grouping is None for one in found.criteria] == [False, True, False]


def test_repeats_are_one_group_whatever_the_spec_says() -> None:
    rows = 60
    seen = OutcomeTable(
        tuple(i // 3 for i in range(rows)),
        {"normal": (True,) * rows},
        repeats=tuple(str(i % 3) for i in range(rows)),
    )
    for cluster in ("group", "none"):
        found = clusters_of(seen, ["normal"], cluster)
        assert found is not None
        assert found.groups == 20


def test_donors_count_where_a_claim_reads_their_messages() -> None:
    seen = OutcomeTable(
        (0, 1, 2, 3),
        {"normal": (True,) * 4, "p0": (False,) * 4, "shuffle": (False,) * 4},
        groups=("a", "a", "b", "c"),
        donors=(2, 3, 0, 1),
        donor_groups=("b", "c", "a", "a"),
    )
    plain = clusters_of(seen, ["normal", "p0"], "group")
    assert plain is not None
    assert plain.donor is None
    shuffled = clusters_of(seen, ["normal", "shuffle"], "group")
    assert shuffled is not None
    assert shuffled.own.tolist() == [0, 0, 1, 2]
    assert shuffled.donor is not None
    assert shuffled.donor.tolist() == [1, 2, 0, 0]
    assert clusters_of(seen, ["normal", "shuffle"], "none") is None


def test_a_look_sees_whole_groups_alone() -> None:
    seen = table([i % 4 for i in range(40)])
    ordered = WholeGroups.of(seen, "group", complete=True)
    assert ordered.head(9) is None
    ten = ordered.head(19)
    assert ten is not None
    assert ten.seeds == tuple(range(0, 40, 4))
    whole = ordered.head(40)
    assert whole is not None
    assert whole.n == 40
    # while episodes still arrive nobody knows whether the last group is whole
    part = WholeGroups.of(seen, "group", complete=False).head(40)
    assert part is not None
    assert part.n == 30


def test_a_look_is_the_same_whether_later_episodes_are_there_or_not() -> None:
    seen = table([i // 5 for i in range(40)])
    for size in range(2, 40):
        now = WholeGroups.of(seen.head(size), "group", complete=False).head(size)
        assert now == WholeGroups.of(seen, "group", complete=True).head(size)
        assert (0 if now is None else now.n) == (size - 1) // 5 * 5


def test_a_look_at_groups_of_one_sees_every_episode() -> None:
    alone = table(list(range(40)))
    for size in (1, 20, 39):
        seen = WholeGroups.of(alone.head(size), "group", complete=False).head(size)
        assert seen == alone.head(size)


def test_a_rule_looks_after_whole_groups(tmp_path) -> None:
    rule = "sequential: {rule: e-process, block: 10}"
    alone = verdict(tmp_path, list(range(40)), rule=rule)
    assert [one.verdict for one in alone.criteria] == ["PASS"] * 3
    grouped = verdict(tmp_path, [i // 10 for i in range(40)], rule=rule)
    assert [one.verdict for one in grouped.criteria] == ["INCONCLUSIVE"] * 3


def test_a_bet_on_donors_of_two_groups_decides_nothing(tmp_path) -> None:
    """Both are misread, and so is every shuffled message; a third might not be."""
    n, rule = 40, "sequential: {rule: e-process, block: 10}"
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(cluster="group", rule=rule))
    own = tuple(str(i) for i in range(n))
    values = {"p0": (False,) * n, "normal": (True,) * n, "null": (False,) * n}
    values["shuffle"] = (False,) * n
    few = OutcomeTable(
        tuple(range(n)),
        values,
        groups=own,
        donors=tuple(f"d{i % 2}" for i in range(n)),
        donor_groups=tuple(str(i % 2) for i in range(n)),
    )
    many = replace(few, donors=tuple((i + 1) % n for i in range(n)))
    many = replace(many, donor_groups=tuple(str((i + 1) % n) for i in range(n)))
    spec = load_spec(str(path))
    for seen, last in ((few, "INCONCLUSIVE"), (many, "PASS")):
        found = [one.verdict for one in judge(spec, "gate1", seen).criteria]
        assert found == ["PASS", "PASS", last]

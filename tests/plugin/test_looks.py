"""Early stopping end to end: a gate ends at the look at which its rule has decided everything."""

from __future__ import annotations

from lpca.judge.stored import read_stored
from lpca.tasks.kinds.trip import Trip

HEAD = """
version: 1
task: {name: trip, options: 4, seed: 5}
evaluation: {n: 120}
gates:
"""
GATE = """
  NAME:
    answers: seen
    conditions: [p0, p1, embed]
    RULE
    expect: {p0: 0.25, p1: 0.95, embed: 0.95}
    criteria:
      - {id: text_helps, claim: p1 - p0 > 0.50}
      - {id: text_reads, claim: p1 > 0.40}
"""
EQUAL = """      - id: same
        claim: abs(embed - p1) < 0.10
        expect: {discordant: 0.0}
        cluster: none
        why: one computation
"""
BLOCKS = "sequential: {rule: e-process, block: 20}"


def gate(name, rule=BLOCKS, more="", requires=""):
    text = GATE.replace("NAME", name).replace("RULE", rule) + more
    return text.replace("    answers", f"    requires: [{requires}]\n    answers")


def run(project, gates, *arguments):
    project.write(gates, HEAD)
    return project.run("-p", "no:cacheprovider", *arguments)


def test_a_clear_gate_ends_at_the_first_look_that_decides_it(project):
    result = run(project, gate("fast"), "-m", "fast")
    assert result.ret == 0
    evidence = project.evidence("fast")
    looks = evidence["looks"]
    assert (looks["declared"], looks["rule"]) == (120, "e-process")
    assert looks["sizes"] == [20, 40, 60, 80, 100, 120]
    assert 20 < looks["used"] < 120
    assert looks["used"] == looks["sizes"][looks["look"] - 1] == len(evidence["episodes"])
    assert {numbers["n"] for numbers in evidence["conditions"].values()} == {looks["used"]}
    assert all(check["passed"] is not False for check in evidence["checks"])
    assert looks["saved"] == 120 - looks["used"]
    shown = f"*{looks['used']} of 120 episodes: ended at look {looks['look']} of 6 (e-process)"
    result.stdout.fnmatch_lines([f"{shown}, {looks['saved']} saved"])


def test_a_fixed_gate_uses_every_episode_it_declares(project):
    assert run(project, gate("fixed", ""), "-m", "fixed").ret == 0
    assert project.evidence("fixed")["looks"] == {"used": 120, "declared": 120}


def test_looks_take_the_declared_episodes_group_by_group(project):
    run(project, gate("fast") + gate("fixed", ""), "-m", "fast or fixed")
    fast, fixed = project.evidence("fast"), project.evidence("fixed")
    kept = ("seed", "message", "options", "answer", "donor", "group")
    declared = [[one[key] for key in kept] for one in fixed["episodes"]]
    groups = list(dict.fromkeys(one["group"] for one in fixed["episodes"]))
    ordered = sorted(declared, key=lambda one: groups.index(one[-1]))
    looked_at = [[one[key] for key in kept] for one in fast["episodes"]]
    assert looked_at == ordered[: len(looked_at)]
    assert ordered != declared


def test_a_gate_with_an_equivalence_ends_early_too(project):
    result = run(project, gate("equal", BLOCKS, EQUAL), "-m", "equal")
    assert result.ret == 0
    looks = project.evidence("equal")["looks"]
    assert looks["used"] < 120
    assert looks["equivalences"] is True
    kept = read_stored(project.path / ".lpca/evidence/equal.json")
    assert kept.verdict == "PASS"


def test_a_gate_waits_for_what_it_requires(project):
    gates = gate("base", "") + gate("quick") + gate("slow", requires="base")
    gates += gate("main", requires="quick")
    assert run(project, gates, "-m", "slow or main").ret == 0
    assert project.evidence("slow")["looks"]["used"] == 120, "base is decided on a fixed n"
    assert project.evidence("main")["looks"]["used"] < 120


def test_a_claim_that_is_false_ends_early_with_fail(project):
    gates = gate("wrong").replace("p1 - p0 > 0.50", "p0 - p1 > -0.4")
    gates = gates.replace("p1 > 0.40", "p1 < 0.6").replace("p1: 0.95", "p1: 0.25")
    result = run(project, gates, "-m", "wrong")
    assert result.ret == 1
    assert project.evidence("wrong")["looks"]["used"] < 120


def test_latents_stop_early_too_with_donors_beyond_the_look(project):
    gates = gate("main").replace("p0, p1, embed]", "p0, p1, normal, null, shuffle]")
    gates = gates.replace("embed: 0.95", "normal: 0.95, null: 0.25, shuffle: 0.02")
    gates += "      - {id: above_null, claim: normal - null > 0}\n"
    gates += "      - {id: above_shuffle, claim: normal - shuffle > 0}\n"
    assert run(project, gates, "-m", "main").ret == 0
    evidence = project.evidence("main-k4")
    assert evidence["looks"]["used"] < 120
    seeds = [one["seed"] for one in evidence["episodes"]]
    assert evidence["episodes"][-1]["donor"] not in seeds
    checks = {check["id"]: check["passed"] for check in evidence["checks"]}
    assert checks["donors_deranged"]
    assert checks["position_balanced"]


def test_every_look_of_a_gate_on_all_answers_holds_both_kinds():
    for n in (2 * 2, 9):
        episodes = Trip().evaluation_set("test", "all", n, 3)
        assert len(episodes) == n
        assert sorted(episodes.donors) == list(range(n))
        for size in range(2, n + 1):
            strata = [episode.stratum for episode in episodes.part(0, size)]
            assert abs(strata.count("seen") - strata.count("unseen")) <= 1
        for index, episode in enumerate(episodes):
            assert episodes.donor(index).stratum == episode.stratum
            assert episodes.donor(index).right in episode.options
            assert episodes.donor(index).right != episode.right


def test_a_part_keeps_the_donors_of_the_whole():
    whole = Trip().evaluation_set("test", "seen", 10, 0)
    assert whole.part(0, 10) is whole
    part = whole.part(4, 7)
    assert [e.seed for e in part] == [e.seed for e in whole.episodes[4:7]]
    assert [part.donor(i).seed for i in range(3)] == [whole.donor(i).seed for i in (4, 5, 6)]
    assert part.part(0, 1).whole is whole

"""Which success a run's claims read: marks in place of true and false, and what is refused."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from small_run import Silent, written

from lpca.api import run_gate
from lpca.base.hashing import with_hash
from lpca.commands.cli import main
from lpca.evidence.files import parse_evidence
from lpca.evidence.json_form import EvidenceError
from lpca.gate.plan import sound_spec
from lpca.gatespec.load import SpecError, load_spec
from lpca.judge.decide import judge
from lpca.judge.reader import contradictions, table_of_evidence
from lpca.judge.stored import stored_evidence


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = written(tmp_path_factory.mktemp("graded"), "s1", "score: graded")
    return path, run_gate("base", receiver="s1", device="cpu", spec=path, console=Silent())


def verified(spec, data, folder):
    kept = folder / "kept.json"
    kept.write_text(json.dumps(data))
    return main(["verify", str(kept), "--spec", str(spec)])


class TestGraded:
    def test_claims_read_the_credit_of_answers(self, run):
        _, found = run
        evidence = found.found
        assert [check.id for check in evidence.checks if check.passed is False] == []
        credits = {
            name: [one.outcomes[name].credit for one in evidence.episodes]
            for name in evidence.conditions
        }
        assert any(0.0 < credit < 1.0 for credit in credits["p0"]), "some are right in part"
        means = {name: sum(own) / len(own) for name, own in credits.items()}
        assert evidence.rates == pytest.approx(means)
        [criterion] = evidence.criteria
        assert criterion.estimate == pytest.approx(means["p1"] - means["p0"])
        for name, numbers in evidence.conditions.items():
            interval = numbers.under("graded").interval
            assert 0 <= interval.low <= means[name] <= interval.high <= 1

    def test_the_verdict_follows_from_what_is_kept(self, run):
        path, found = run
        evidence = parse_evidence(found.evidence)
        again = judge(load_spec(path), "base", table_of_evidence(evidence))
        assert (again.verdict, again.criteria) == (evidence.verdict, evidence.criteria)

    @pytest.mark.parametrize("where", ["credit", "message", "answer"])
    def test_verify_gives_what_was_said_its_credit_again(self, run, tmp_path, capsys, where):
        path, found = run
        assert verified(path, found.evidence, tmp_path) == 0
        data = deepcopy(dict(found.evidence))
        episode = next(one for one in data["episodes"] if one["outcomes"]["p0"]["credit"] < 1)
        if where == "credit":
            marks, numbers = episode["outcomes"]["p0"], data["conditions"]["p0"]
            marks["credit"] = marks["credit"] / 2
            credits = [one["outcomes"]["p0"]["credit"] for one in data["episodes"]]
            numbers["credit"], numbers["marks"]["successes"] = sum(credits) / 24, sum(credits)
        else:
            episode[where] = "another" if where == "message" else None
        assert verified(path, with_hash(data), tmp_path) == 7
        told = capsys.readouterr().out
        assert "DOES NOT HOLD" in told

    def test_its_text_shows_sums_and_means(self, run):
        _, found = run
        told = found.conditions["p0"]["marks"]["successes"]
        assert f"{told:.2f}/24" in str(found)


def test_a_run_ranks_options_as_it_is_told_and_keeps_what_ranks_them(tmp_path):
    path = written(tmp_path, "trip", "score: likelihood, normalised: pmi")
    found = run_gate("base", receiver="stub", device="cpu", spec=path, console=Silent())
    evidence = parse_evidence(found.evidence)
    assert evidence.normalised == "pmi"
    assert [check.id for check in evidence.checks if check.passed is False] == []
    for episode in evidence.episodes:
        for outcome in episode.outcomes.values():
            assert outcome.ranked != outcome.scores
            best = max(range(len(outcome.ranked)), key=outcome.ranked.__getitem__)
            assert outcome.likelihood == (best == episode.right)
    assert list(contradictions(evidence)) == []
    assert "scored by likelihood (pmi)" in str(found)


@pytest.mark.parametrize(
    ("task", "how", "says"),
    [
        ("trip", "score: graded", "task trip gives answers no credit; allowed: likelihood, gre"),
        ("trip", "score: likelihood, temperature: 0.5", "samples no answer; allowed: score: gre"),
    ],
)
def test_what_a_run_cannot_score_is_refused(tmp_path, task, how, says):
    with pytest.raises(SpecError, match=says):
        sound_spec(written(tmp_path, task, how))


SAMPLED = "score: greedy, temperature: 1.5, repeats: 3"


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    path = written(tmp_path_factory.mktemp("sampled"), "trip", SAMPLED)
    return path, run_gate("base", receiver="stub", device="cpu", spec=path, console=Silent())


class TestSampled:
    """Several answers of each episode, which are one unit."""

    def test_each_episode_is_one_unit_with_all_of_its_answers(self, sampled):
        path, found = sampled
        evidence = parse_evidence(found.evidence)
        assert [check.id for check in evidence.checks if check.passed is False] == []
        kept = [outcome.readings for one in evidence.episodes for outcome in one.outcomes.values()]
        assert {len(answers) for answers in kept} == {3}
        assert any(len({one.said for one in answers}) > 1 for answers in kept), "drawn by chance"
        table = table_of_evidence(evidence)
        assert (table.units, table.n, evidence.conditions["p0"].n) == (24, 72, 72)
        again = judge(load_spec(path), "base", table)
        assert (again.verdict, again.criteria) == (evidence.verdict, evidence.criteria)
        [criterion] = evidence.criteria
        assert criterion.n == 24
        assert criterion.grouping.groups <= 24
        assert "sampled at temperature 1.5, 3 times an episode" in " ".join(str(found).split())
        assert "72 answers of 24 episodes" in " ".join(str(found).split())

    def test_another_batch_and_another_cache_give_the_same(self, sampled, monkeypatch, tmp_path):
        path, found = sampled
        monkeypatch.setenv("LPCA_CACHE", str(tmp_path))
        how = {"receiver": "stub", "device": "cpu", "spec": path, "console": Silent()}
        for _ in range(2):  # computed, then resumed
            again = run_gate("base", batch_size=5, **how)
            assert again.found.hashes == found.found.hashes
            for one, other in zip(again.found.episodes, found.found.episodes, strict=True):
                for name, outcome in one.outcomes.items():
                    told = [answer.said for answer in other.outcomes[name].readings]
                    assert [answer.said for answer in outcome.readings] == told

    def test_stored_answers_are_decided_again(self, sampled, tmp_path):
        path, found = sampled
        assert stored_evidence(found.evidence, load_spec(path)).verdict == found.verdict
        assert verified(path, found.evidence, tmp_path) == 0
        data = deepcopy(dict(found.evidence))
        other = data["episodes"][0]["outcomes"]["p1"]["others"][0]
        other["greedy"] = not other["greedy"]
        with pytest.raises(EvidenceError, match="outcomes are not those it was written with"):
            stored_evidence(data)
        data = deepcopy(dict(found.evidence))
        del data["episodes"][0]["outcomes"]["p1"]["others"][1]
        with pytest.raises(EvidenceError, match="not those it was written with"):
            stored_evidence(data)

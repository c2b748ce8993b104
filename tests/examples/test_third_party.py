"""Parts that others wrote, through the real gate on the stub receiver."""

from __future__ import annotations

import pytest
import torch
from gate_project import BASE, ROOT, Project
from own_codec import OPEN

pytest.importorskip("peft", reason="pip install 'lpca[examples]'")
pytest.importorskip("yake", reason="pip install 'lpca[examples]'")

from examples.third_party import keywords, prompt_tuning

K = 4


@pytest.fixture
def project(pytester, monkeypatch, tmp_path):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(ROOT))
    made = Project(pytester)
    made.write(BASE + OPEN)
    return made


def failed_checks(evidence):
    return [check["id"] for check in evidence["checks"] if check["passed"] is False]


def test_prompt_tuning_carries_nothing_and_fails(project, monkeypatch):
    monkeypatch.setattr(prompt_tuning, "STEPS", 10)
    codec = ("--codec", "examples.third_party.prompt_tuning:factory", "--in-process")
    result = project.run("-m", "open", *codec, "-k", "above_p0")
    evidence = project.evidence("open-k4")
    assert failed_checks(evidence) == []
    normal, shuffle = (
        [episode["outcomes"][c]["likelihood"] for episode in evidence["episodes"]]
        for c in ("normal", "shuffle")
    )
    assert normal == shuffle, "whose message it was changes nothing"
    verdicts = {one["id"]: one["verdict"] for one in evidence["criteria"]}
    assert verdicts["above_shuffle"] != "PASS"
    assert evidence["verdict"] != "PASS"
    assert result.ret != 0
    assert evidence["codec"]["trained_on"] == 10 * prompt_tuning.BATCH


def test_a_keyword_carries_the_message(project):
    codec = ("--codec", "examples.third_party.keywords:zero_padded", "--in-process")
    result = project.run("-m", "open", *codec)
    evidence = project.evidence("open-k4")
    assert failed_checks(evidence) == []
    assert result.ret == 0
    assert evidence["codec"]["trained_on"] == 0


class TestKeyword:
    @pytest.mark.parametrize("message", ["The train to Ufa leaves at nine.", "of", "x" * 40])
    def test_at_most_k_tokens_padded(self, llama, message):
        zeros, again = (make(llama, K) for make in (keywords.zero_padded, keywords.repeated))
        ids = zeros.compress(message)
        assert 1 <= len(ids) <= K
        vectors = torch.zeros(K, llama.d_model)
        vectors[: len(ids)] = llama.embed(ids)
        assert torch.equal(zeros.encode([message])[0], vectors)
        repeated = torch.stack([llama.embed([ids[i % len(ids)]])[0] for i in range(K)])
        assert torch.equal(again.encode([message])[0], repeated)

    def test_the_best_keyword_is_kept(self, llama):
        ids = keywords.repeated(llama, 20).compress("The train to Ufa leaves at nine.")
        assert llama.text(ids) == " Ufa"

"""Two senders with a slot each: what stands in their slots, and what the checks see of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lpca.base.hashing import named_seed
from lpca.channel.packets import Packet, Port, View
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.codec.objectives import Batch, slots_with
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.training import Training
from lpca.codec.user_codec import OwnCodec
from lpca.evaluation.condition_numbers import condition_numbers
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import evaluate
from lpca.gate.exam import Exam
from lpca.gate.plan import task_of
from lpca.gate.views import views_of
from lpca.gatespec.load import SpecError, load_spec
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet, Task, TaskError
from lpca.tasks.kinds.episodes import Episodes
from lpca.validity.audit import Audit
from lpca.validity.catalogue import run_checks

CONDITIONS = (
    *("p0", "p1", "embed", "normal", "null", "random", "shuffle", "shuffle_1", "shuffle_2"),
    *("first_k", "empty"),
)
READ = (
    *("slow_path_agrees", "prompt_is_p0s", "text_is_message", "prompt_ignores_message"),
    *("latents_injected", "shuffle_is_donors", "prefix_used", "null_is_zero", "random_has_norms"),
    *("random_is_noise", "empty_is_empty", "encoding_repeatable", "plumbing_logits"),
    "numbers_reported",
)
K, N = 3, 4


class Sender:
    """A channel whose packets follow from the whole view, one vector for each word up to k."""

    name = "sender"
    receives = False

    def __init__(self, width: int) -> None:
        self.port, self.width = Port("vectors", K), width
        self.seen: list[View] = []

    def send(self, views: Sequence[View]) -> list[Packet]:
        self.seen += views
        return [Packet(vectors=self.vectors(view)) for view in views]

    def vectors(self, view: View) -> torch.Tensor:
        words = len(" ".join(view.messages).split())
        generator = torch.Generator().manual_seed(named_seed("sender", view.messages, view.public))
        return torch.randn(min(K, words), self.width, generator=generator)


def rows() -> list[dict[str, Any]]:
    towns = ("Oslo", "Rome")
    return [
        {
            "message": [f"Trip {i}", f"I say {towns[i % 2]} {i}."],
            "context": f"Trip {i}: Oslo, Rome.{{message:2}} and{{message:1}} so\nTo",
            "answer": towns[i % 2],
            "options": [*towns],
            "public": f"Trip {i}:",
        }
        for i in range(120)
    ]


def drawn(folder: Path, own: list[dict[str, Any]]) -> tuple[Task, EpisodeSet]:
    folder.joinpath("own.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in own), encoding="utf-8"
    )
    task = Episodes.from_settings({"file": "own.jsonl"}, folder)
    return task, task.evaluation_set("test", "all", N, 1)


@pytest.fixture(scope="module")
def task_and_setting(
    llama: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Task, Setting]:
    task, episodes = drawn(tmp_path_factory.mktemp("senders"), rows())
    return task, Setting(llama, Channel(llama, Sender(llama.d_model), K), episodes)


@pytest.fixture(scope="module")
def setting(task_and_setting: tuple[Task, Setting]) -> Setting:
    return task_and_setting[1]


def wanted(setting: Setting, views: Sequence[Sequence[View]]) -> list[torch.Tensor]:
    sender = Sender(setting.receiver.d_model)
    return [torch.cat([sender.vectors(view) for view in own]) for own in views]


def own_and_donors(setting: Setting) -> list[tuple[Any, Any]]:
    episodes = setting.episodes
    return [(one, episodes.donor(i)) for i, one in enumerate(episodes)]


@pytest.mark.parametrize(
    ("condition", "senders"),
    [
        ("normal", lambda own, donor: (own, own)),
        ("shuffle", lambda own, donor: (donor, donor)),
        ("shuffle_1", lambda own, donor: (donor, own)),
        ("shuffle_2", lambda own, donor: (own, donor)),
    ],
)
def test_each_slot_holds_its_own_senders_packet(
    setting: Setting, condition: str, senders: Callable[[Any, Any], tuple[Any, Any]]
) -> None:
    views = []
    for own, donor in own_and_donors(setting):
        told = [one.messages[i] for i, one in enumerate(senders(own, donor))]
        # the second sender's slot stands first; what is public is always this episode's
        views.append([View((told[i],), own.public) for i in (1, 0)])
    slots = build_slots(condition, setting)
    for slot, vectors in zip(slots, wanted(setting, views), strict=True):
        assert torch.equal(slot.vectors, vectors)
        assert len(slot.packets) == 2


def test_without_messages_the_texts_between_slots_stay(setting: Setting) -> None:
    for slot in build_slots("p0", setting):
        assert setting.receiver.text(slot.ids) == " and"
        assert [start == stop for start, stop in slot.packets] == [True, True]


def test_b_never_reads_another_sender_into_a_slot(setting: Setting) -> None:
    for slot, (own, _) in zip(build_slots("p1", setting), own_and_donors(setting), strict=True):
        texts = [setting.receiver.text(slot.ids[start:stop]) for start, stop in slot.packets]
        assert texts == [f" {own.messages[1]}", f" {own.messages[0]}"]
        assert setting.receiver.text(slot.ids) == " and".join(texts)


def test_a_has_seen_the_messages_and_what_is_public_alone(
    llama: Receiver, setting: Setting
) -> None:
    sender = Sender(llama.d_model)
    own = replace(setting, channel=Channel(llama, sender, K))
    for condition in CONDITIONS:
        build_slots(condition, own)
    told = {""} | {message for one in setting.episodes.whole for message in one.messages}
    assert {message for view in sender.seen for message in view.messages} == told
    assert {view.public for view in sender.seen} == {one.public for one in setting.episodes}


@pytest.fixture(scope="module")
def audit(
    task_and_setting: tuple[Task, Setting], tmp_path_factory: pytest.TempPathFactory
) -> Audit:
    return audited(*task_and_setting, tmp_path_factory.mktemp("cache"), CONDITIONS)


def audited(task: Task, setting: Setting, cache: Path, conditions: Sequence[str]) -> Audit:
    records = evaluate(setting, conditions, cache).outcomes
    numbers = {c: condition_numbers(c, own, 0.95, setting) for c, own in records.items()}
    return Audit(setting, task, records, setting.receiver.state_hash(), numbers=numbers)


def test_every_check_of_what_b_was_given_holds_of_a_sound_run(audit: Audit) -> None:
    results = run_checks(audit, READ)
    assert {one.id: one.detail for one in results if not one.passed} == {}
    assert {one.id for one in results} == {*READ}


def test_what_is_injected_as_embeddings_is_what_is_read_as_text(audit: Audit) -> None:
    for text, injected in zip(audit.outcomes["p1"], audit.outcomes["embed"], strict=True):
        assert injected.scores == pytest.approx(text.scores, abs=1e-4)


@pytest.mark.parametrize(
    ("sender", "passes"), [(0, True), (1, False)], ids=["without the answer", "with the answer"]
)
def test_a_message_of_one_sender_may_have_been_trained_on(
    audit: Audit, sender: int, passes: bool
) -> None:
    told = audit.episodes[0].messages[sender]
    sides = Sender(audit.receiver.d_model)
    own = OwnCodec(sides, "sender:make", audit.receiver.name, K, (told,), None, None)
    [result] = run_checks(replace(audit, own=own), ["splits_disjoint"])
    assert bool(result.passed) == passes, result.detail


def turned(setting: Setting) -> list[Slot]:
    """Both packets, each in the other's slot."""
    alone = build_slots("normal", replace(setting, episodes=setting.episodes.by_slot, exchanged={}))
    pairs = zip(alone[::2], alone[1::2], setting.episodes, strict=True)
    return [
        Slot.of_several([last, first], setting.receiver.between_ids(one))
        for first, last, one in pairs
    ]


def told_between(setting: Setting) -> list[Slot]:
    """Between the slots stands more than without a message."""
    alone = build_slots("normal", replace(setting, episodes=setting.episodes.by_slot, exchanged={}))
    return [
        Slot.of_several([first, last], [setting.receiver.segment_ids(" and Oslo")])
        for first, last in zip(alone[::2], alone[1::2], strict=True)
    ]


@pytest.mark.parametrize(
    ("condition", "fault", "check"),
    [
        ("normal", turned, "latents_injected"),
        ("normal", told_between, "prompt_is_p0s"),
        ("shuffle_2", lambda setting: build_slots("shuffle_1", setting), "shuffle_is_donors"),
    ],
)
def test_what_is_wrong_in_one_of_two_slots_is_found(
    task_and_setting: tuple[Task, Setting],
    tmp_path: Path,
    condition: str,
    fault: Callable[[Setting], Sequence[Slot]],
    check: str,
) -> None:
    task, sound = task_and_setting
    setting = replace(sound, exchanged={condition: fault})
    conditions = ("p0", "normal", "shuffle", "shuffle_2")
    results = run_checks(audited(task, setting, tmp_path, conditions), READ)
    assert check in {one.id for one in results if one.passed is False}


def test_all_senders_may_share_a_packet(llama: Receiver, tmp_path: Path) -> None:
    together = [
        {**row, "context": f"Oslo, Rome: {row['public']}{{message}} so\nTo"} for row in rows()
    ]
    _, episodes = drawn(tmp_path, together)
    sender = Sender(llama.d_model)
    setting = Setting(llama, Channel(llama, sender, K), episodes)
    slots = build_slots("shuffle_2", setting)
    for slot, (own, donor) in zip(slots, own_and_donors(setting), strict=True):
        view = View((own.messages[0], donor.messages[1]), own.public)
        assert torch.equal(slot.vectors, sender.vectors(view))
    assert {len(view.messages) for view in sender.seen} == {2}


class Public(Sender):
    """Reads what is public, and nothing of any message."""

    def vectors(self, view: View) -> torch.Tensor:
        return super().vectors(View((view.public,), view.public))


def test_a_channel_of_what_is_public_sends_the_same_whoever_tells_it(setting: Setting) -> None:
    receiver = setting.receiver
    own = replace(setting, channel=Channel(receiver, Public(receiver.d_model), K))
    # so that its gain is none beside shuffle's, in which what is public stays
    for normal, *others in zip(
        *(build_slots(name, own) for name in ("normal", "shuffle", "shuffle_2")), strict=True
    ):
        assert all(torch.equal(normal.vectors, other.vectors) for other in others)


def test_training_reaches_the_prefix_in_every_slot(setting: Setting) -> None:
    receiver, episodes = setting.receiver, setting.episodes.episodes[:2]
    torch.manual_seed(0)
    prefixes = torch.randn(2, 2 * K, receiver.d_model, requires_grad=True)
    batch = Batch(receiver, episodes, prefixes)
    batch.nll(batch.normal).sum().backward()
    assert prefixes.grad is not None
    assert bool(prefixes.grad.norm(dim=-1).gt(0).all())
    # and the first k vectors stand in the first slot
    for slot, own in zip(slots_with(receiver, episodes, prefixes), prefixes, strict=True):
        (start, stop), _ = slot.packets
        assert (start, stop) == (0, K)
        assert torch.equal(slot.parts[0].vectors, own[:K])


def test_a_codec_is_trained_on_each_senders_message(
    task_and_setting: tuple[Task, Setting],
) -> None:
    task, setting = task_and_setting
    recipe = Recipe(stages=(Stage(1),), batch_size=4)

    def make() -> TokenPooler:
        return TokenPooler(setting.receiver, K)

    training = Training(setting.receiver, task, make, 0, recipe)
    before = [own.detach().clone() for own in training.codec.parameters()]
    progress = training.advance()
    assert progress.gap is not None
    changed = zip(before, training.codec.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in changed)


def test_views_of_several_senders_are_each_senders_with_what_is_public(
    task_and_setting: tuple[Task, Setting], tmp_path: Path
) -> None:
    task, setting = task_and_setting
    spec = load_spec(write_spec(tmp_path))
    views = views_of(spec, task, ["told"])
    assert {len(view.messages) for view in views} == {1}
    sender = Sender(setting.receiver.d_model)
    own = replace(setting, channel=Channel(setting.receiver, sender, K))
    for condition in ("normal", "shuffle", "shuffle_2"):
        build_slots(condition, own)
    assert {*sender.seen} <= {*views}


SPEC = f"""
version: 1
task: {{name: episodes, file: own.jsonl, seed: 1}}
evaluation: {{n: {N}, score: greedy, confidence: 0.95, equivalence_confidence: 0.90}}
gates:
  told:
    title: The answer depends on both messages
    conditions: [p0, p1, normal, shuffle, shuffle_2, empty]
    criteria:
      - {{id: above_shuffle, claim: normal - shuffle > 0, why: the messages matter}}
      - {{id: above_second, claim: normal - shuffle_2 > 0, why: the second matters}}
"""


def write_spec(folder: Path, text: str = SPEC) -> Path:
    drawn(folder, rows())
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    return folder / "spec.yaml"


def test_an_exam_tells_each_sender_its_own_and_both_what_is_public(tmp_path: Path) -> None:
    exam = Exam.of(load_spec(write_spec(tmp_path)), "told", "secret")
    told = {(one.index, one.condition): exam.prompt(one) for one in exam.questions}
    for index, episode in enumerate(exam.episodes):
        donor, own = exam.episodes.donor(index).messages, episode.messages
        senders = {
            "p0": [],
            "p1": [],
            "normal": [*own],
            "shuffle": [*donor],
            "shuffle_2": [own[0], donor[1]],
            "empty": ["", ""],
        }
        for condition, wanted in senders.items():
            assert told[index, condition]["sender"] == wanted
            assert told[index, condition]["public"] == episode.public
        assert told[index, "p0"]["receiver"] == episode.written(["", ""])
        assert told[index, "p1"]["receiver"] == episode.written([f" {own[1]}", f" {own[0]}"])


def test_a_gate_that_shuffles_a_sender_who_is_not_there_is_refused_at_its_place(
    tmp_path: Path,
) -> None:
    path = write_spec(tmp_path, SPEC.replace("shuffle_2", "shuffle_3"))
    with pytest.raises(SpecError, match=r"runs shuffle_3, and task episodes has 2 senders"):
        task_of(load_spec(path))


class Caches(Sender):
    """Keys and values of the first layer, of two positions."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.port = Port("cache", K, layers=(0,))

    def send(self, views: Sequence[View]) -> list[Packet]:
        ones = torch.ones(2, 2, self.width // 4)
        return [Packet(cache={0: (ones, ones)}) for _ in views]


def test_caches_in_several_slots_are_refused(setting: Setting) -> None:
    receiver = setting.receiver
    own = replace(setting, channel=Channel(receiver, Caches(receiver.d_model), K))
    with pytest.raises(TaskError, match="a packet is a cache, and prompts have several slots"):
        build_slots("normal", own)


def test_a_sender_that_is_not_there_cannot_be_shuffled(setting: Setting) -> None:
    with pytest.raises(TaskError, match="shuffle_3: "):
        build_slots("shuffle_3", setting)

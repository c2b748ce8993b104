"""A receiver's own chat template around B's texts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from transformers import PreTrainedTokenizerFast

from lpca.base.errors import RequestError
from lpca.gatespec.model import PLAIN, Prompt
from lpca.receivers.forward import Slot, in_slots
from lpca.receivers.model import Receiver, refuse_changed_turns
from lpca.tasks import Episode

CHAT = Prompt("chat", join_answer="")
TURNS = (
    "{% for m in messages %}{{ '<s>' + m['role'] + '\n' + m['content'] + '</s>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}"
)
EPISODE = Episode(
    seed=1,
    stratum="seen",
    wording="",
    message="Go to Oslo, <s>now</s>.",
    before="Cities: Oslo, Rome.",
    after="\nWhere to?\nAnswer:",
    options=("Oslo", "Rome"),
    answer=0,
)


@pytest.fixture(scope="module")
def bare() -> Receiver:
    """The stub with a tokenizer of its own."""
    from lpca import load_receiver

    return load_receiver("stub", "cpu")


def with_template(bare: Receiver, template: str) -> Receiver:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare.tokenizer.backend_tokenizer,
        **{name: str(held) for name, held in bare.tokenizer.special_tokens_map.items()},
    )
    tokenizer.chat_template = template
    return replace(bare, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def chatty(bare: Receiver) -> Receiver:
    return with_template(bare, TURNS)


def prompt_of(receiver: Receiver, episode: Episode, message: bool = True) -> list[int]:
    slot = receiver.message_ids(episode.message) if message else []
    before, after = episode.before, episode.after
    return [*receiver.prompt_start_ids(before), *slot, *receiver.prompt_end_ids(after)]


def test_a_prompt_is_the_templates_conversation(chatty: Receiver) -> None:
    turn = f"{EPISODE.before} Go to Oslo.{EPISODE.after}"
    system = "One word."
    for prompt in (CHAT, replace(CHAT, system=system)):
        receiver = chatty.prompted(prompt)
        texts = {"system": prompt.system, "user": turn}
        messages = [{"role": role, "content": text} for role, text in texts.items() if text]
        rendered = chatty.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        ids = prompt_of(receiver, replace(EPISODE, message="Go to Oslo."))
        assert receiver.text(ids) == rendered


def test_only_the_template_writes_control_tokens(chatty: Receiver) -> None:
    receiver, told = chatty.prompted(replace(CHAT, system="<s>Say</s>")), "<s>now</s>"
    start, end = receiver.texts.control["<s>"], receiver.texts.control["</s>"]
    ids = prompt_of(receiver, replace(EPISODE, before=told, after=told))
    # of the system's turn, the user's, and the assistant's beginning
    assert [token for token in ids if token in (start, end)] == [start, end] * 2 + [start]
    assert receiver.text(ids).count(told) == 3
    assert not {start, end} & set(receiver.option_ids(told))


def test_the_slot_is_inside_the_turn_and_nothing_around_it_depends_on_it(
    chatty: Receiver,
) -> None:
    receiver = chatty.prompted(CHAT)
    empty, full = (prompt_of(receiver, EPISODE, message) for message in (False, True))
    slot = receiver.message_ids(EPISODE.message)
    place = len(receiver.prompt_start_ids(EPISODE.before))
    assert full == empty[:place] + slot + empty[place:]
    assert receiver.message_text(slot) == EPISODE.message


def test_the_joins_stand_before_message_and_answer(chatty: Receiver) -> None:
    for join, option in ((" ", " Oslo"), ("", "Oslo"), ("\n", "\nOslo")):
        receiver = chatty.prompted(replace(CHAT, join_message=join, join_answer=join))
        assert receiver.text(receiver.option_ids("Oslo")) == option
        assert receiver.text(receiver.message_ids("Oslo")) == option
        assert receiver.message_text(receiver.message_ids("Oslo")) == "Oslo"


def test_a_message_that_opens_the_turn_and_one_that_ends_it(chatty: Receiver) -> None:
    receiver = chatty.prompted(replace(CHAT, join_message=""))
    # as rows of episodes have what is empty
    ids = prompt_of(receiver, replace(EPISODE, before="\n", message="Go.", after="\n"))
    assert receiver.text(ids) == "<s>user\nGo.</s>\n<s>assistant\n"


def test_without_a_prompt_all_is_as_it_was(chatty: Receiver, bare: Receiver) -> None:
    assert chatty.prompted(PLAIN) is chatty
    assert chatty.prompt_name == bare.prompt_name == "plain"
    assert prompt_of(chatty, EPISODE) == prompt_of(bare, EPISODE)
    assert chatty.option_ids("Oslo") == bare.option_ids("Oslo")


def test_what_ends_a_turn_ends_an_answer(bare: Receiver) -> None:
    receiver = with_template(bare, TURNS.replace("</s>", "<pad>")).prompted(CHAT)
    assert receiver.end_ids == bare.end_ids | {receiver.texts.control["<pad>"]}


def test_a_prompts_name_follows_from_what_stands_around_the_texts(
    chatty: Receiver, bare: Receiver
) -> None:
    others = (replace(CHAT, system="x"), replace(CHAT, join_answer=" "), CHAT)
    names = [chatty.prompted(prompt).prompt_name for prompt in others]
    names.append(
        with_template(bare, TURNS.replace("assistant", "Assistant")).prompted(CHAT).prompt_name
    )
    names.append(with_template(bare, TURNS + "{{ '<s>' }}").prompted(CHAT).prompt_name)
    names.append(bare.prompted(replace(PLAIN, join_answer="")).prompt_name)
    assert len(set(names)) == len(names)


def test_a_template_of_the_day_is_the_same_every_day(bare: Receiver) -> None:
    dated = "{% macro day() %}{{ strftime_now('%d %b %Y') }}{% endmacro %}{{ day() }}" + TURNS
    receiver = with_template(bare, dated).prompted(CHAT)
    assert receiver.text(receiver.prompt_start_ids("x")) == "01 Jan 2026<s>user\nx"


def refusal(receiver: Receiver, prompt: Prompt = CHAT, episode: Episode = EPISODE) -> str:
    with pytest.raises(RequestError) as refused:
        refuse_changed_turns(receiver.prompted(prompt), [episode])
    (line,) = str(refused.value).splitlines()
    assert line.startswith("receiver stub: ")
    assert "; allowed: " in line
    return line


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("m['content']", "m['content'] | upper"), "writes the user text 0 times"),
        (("m['content']", "m['content'] + m['content']"), "writes the user text 2 times"),
        (("m['content']", "m['content'].split(',')[0]"), "changes the text 'Cities: Oslo, Rome."),
        (("m['role']", "raise_exception('no ' + m['role'])"), "cannot be used: no user"),
        (("'<s>' + m['role'] + '\n' + ", ""), "begins with the user's text"),
        (("{%", "{% nonsense"), "cannot be used: "),
        (("m['content']", "company.name + m['content']"), "cannot be used: 'company' is undefined"),
    ],
)
def test_a_template_that_does_not_keep_the_users_text_is_refused(
    bare: Receiver, change: tuple[str, str], says: str
) -> None:
    assert says in refusal(with_template(bare, TURNS.replace(*change, 1)))


def test_a_template_that_trims_is_not_one_that_changes(bare: Receiver) -> None:
    trimming = with_template(bare, TURNS.replace("m['content']", "m['content'] | trim"))
    refuse_changed_turns(
        trimming.prompted(CHAT), [EPISODE, replace(EPISODE, after=EPISODE.after + " \n")]
    )


def test_a_template_without_the_system_text_is_refused(bare: Receiver) -> None:
    dropping = with_template(bare, TURNS.replace("in messages", "in messages[-1:]"))
    dropping.prompted(CHAT)
    with_system = replace(CHAT, system="One word.")
    assert "writes the system text 0 times" in refusal(dropping, with_system)
    shortening = TURNS.replace("m['content']", "m['content'].split(' w')[0]")
    assert "changes the system text 'One word.'" in refusal(
        with_template(bare, shortening), with_system
    )


def test_a_receiver_without_a_template_is_refused(bare: Receiver) -> None:
    assert "it has no chat template" in refusal(bare)


def test_several_slots_stand_in_one_turn(chatty: Receiver) -> None:
    receiver = chatty.prompted(CHAT)
    senders = ("Go to Oslo.", "I am Bo.")
    both = replace(EPISODE, message="", senders=senders, order=(1, 0), between=(" says:",))
    refuse_changed_turns(receiver, [both])
    slots = [Slot(ids=tuple(receiver.message_ids(own.message))) for own in both.by_slot]
    slot = in_slots(receiver, both, slots)
    ids = [*receiver.prompt_start_ids(both.before), *slot.ids, *receiver.prompt_end_ids(both.after)]
    turn = f"{both.before} I am Bo. says: Go to Oslo.{both.after}"
    assert both.written([f" {own.message}" for own in both.by_slot]) == turn
    rendered = chatty.tokenizer.apply_chat_template(
        [{"role": "user", "content": turn}], tokenize=False, add_generation_prompt=True
    )
    assert receiver.text(ids) == rendered

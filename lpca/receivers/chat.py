"""A receiver's own chat template around B's texts, which stand in the user's turn.

The template is rendered with a mark in place of each text. What it writes around the marks is its
own, control tokens included; what is put in their place is text. So the same ids stand around every
slot, and no token spans a border.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from lpca.base.errors import RequestError
from lpca.gatespec.model import Prompt
from lpca.receivers.text import NO_TEXT, TextEncoder

SYSTEM, USER, REPLY = (f"{NO_TEXT}{role}{NO_TEXT}" for role in ("system", "user", "reply"))
"""The marks."""
DAY = {"%d": "01", "%-d": "1", "%m": "01", "%-m": "1", "%B": "January", "%b": "Jan"} | {
    **{"%Y": "2026", "%y": "26", "%A": "Thursday", "%a": "Thu", "%j": "001"},
    **{"%H": "00", "%I": "12", "%M": "00", "%S": "00", "%p": "AM"},
}
"""Today, by the parts of a date's format, for templates that tell it: every day the same prompt."""
TODAY = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f" | replace('{part}', '{text}')" for part, text in DAY.items())
    + " }}{%- endmacro -%}"
)
"""Before a template that asks for today's date; it stands in the place of what reads the clock."""


@dataclass(frozen=True)
class Chat:
    """What stands around the user's turn.

    Attributes:
        opening: ids before it: the conversation's start, a system text, the user's prefix.
        closing: ids behind it: its end, and the assistant's prefix.
        ends: tokens that end the assistant's turn.
        before: the template's text before the turn.
        after: the one behind it.
    """

    opening: tuple[int, ...]
    closing: tuple[int, ...]
    ends: frozenset[int]
    before: str
    after: str


def chat_of(encoder: TextEncoder, prompt: Prompt) -> Chat:
    """Read a receiver's chat template.

    Raises:
        RequestError: it has none, or does not keep a text as it is; one line.
    """
    if not encoder.tokenizer.chat_template:
        _refuse(encoder, "it has no chat template", "prompt: {template: none}")
    before, after = _around(encoder, USER, _rendered(encoder, prompt.system and SYSTEM, USER))
    opening = _opening(encoder, prompt, before)
    if not opening:
        _refuse(encoder, "its chat template begins with the user's text", "template: none")
    with_text = before.replace(SYSTEM, prompt.system), after
    if _around(encoder, USER, _rendered(encoder, prompt.system, USER)) != with_text:
        changed = f"its chat template changes the system text {prompt.system!r:.60}"
        _refuse(encoder, changed, "another text, or none")
    closing = encoder.of_template(after, begins=False)
    return Chat(tuple(opening), tuple(closing), _ends(encoder, prompt), before, after)


def refuse_changed(encoder: TextEncoder, prompt: Prompt, chat: Chat, turns: Iterable[str]) -> None:
    """Refuse turns that the template would not give as they are; blanks around one do not count.

    Raises:
        RequestError: the first such turn.
    """
    for turn in dict.fromkeys(turn.strip() for turn in turns):
        if _rendered(encoder, prompt.system and SYSTEM, turn) != chat.before + turn + chat.after:
            _refuse(encoder, f"its chat template changes the text {turn!r:.80}", "another text")


def _opening(encoder: TextEncoder, prompt: Prompt, before: str) -> list[int]:
    if not prompt.system:
        return encoder.of_template(before, begins=True)
    start, rest = _around(encoder, SYSTEM, before)
    text = encoder.later(prompt.system) if start else encoder.first(prompt.system)
    return [
        *encoder.of_template(start, begins=True),
        *text,
        *encoder.of_template(rest, begins=False),
    ]


def _ends(encoder: TextEncoder, prompt: Prompt) -> frozenset[int]:
    """The control token that stands behind a reply, if one does."""
    try:
        rendered = _rendered(encoder, prompt.system and SYSTEM, USER, REPLY)
    except RequestError:
        return frozenset()
    ids = encoder.of_template(rendered.partition(REPLY)[2], begins=False)
    return frozenset(ids[:1]) & frozenset(encoder.control.values())


def _around(encoder: TextEncoder, mark: str, rendered: str) -> tuple[str, str]:
    if rendered.count(mark) != 1:
        what = mark.strip(NO_TEXT)
        told = f"its chat template writes the {what} text {rendered.count(mark)} times, not once"
        _refuse(encoder, told, "no such text, or template: none")
    before, _, after = rendered.partition(mark)
    return before, after


def _rendered(encoder: TextEncoder, system: str, user: str, reply: str = "") -> str:
    texts = {"system": system, "user": user, "assistant": reply}
    conversation = [{"role": role, "content": text} for role, text in texts.items() if text]
    try:
        template = encoder.tokenizer.get_chat_template()
        rendered = encoder.tokenizer.apply_chat_template(
            conversation,
            chat_template=TODAY + template if "strftime_now" in template else template,
            tokenize=False,
            add_generation_prompt=not reply,
        )
    except Exception as error:
        # somebody's template: it may raise anything
        told = " ".join(str(error).split()) or type(error).__name__
        _refuse(encoder, f"its chat template cannot be used: {told:.200}", "template: none")
    return str(rendered)


def _refuse(encoder: TextEncoder, what: str, allowed: str) -> NoReturn:
    raise RequestError(f"receiver {encoder.name}: {what}; allowed: {allowed}")

"""What text is to a receiver: token ids that decode to just this text, and its chat template.

A prompt is written in parts (what stands before the slot, the message, what stands behind it, an
answer), each tokenised on its own, so that no token spans a border. Tokenizers are made for whole
prompts: on a part they put a space that nobody wrote, and they read the name of a control token
(`<|im_end|>`) as that token, wherever it stands. Here neither happens. Only the receiver's own chat
template writes control tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NoReturn

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from lpca.base.errors import RequestError
from lpca.base.hashing import hash_data

KNOWN_TEXTS = 4096
"""How many texts' token ids a receiver remembers: those of some hundred episodes."""
ANCHORS = (")", "x")
"""Behind one of these a text is tokenised where a tokenizer cannot be told where it stands."""
NO_TEXT = "\x02"
"""A character that no text holds which is read from a file."""
PROBES = ("Go to Oslo.", " a  b\n\nc\t", "<s></s> <|im_end|>", "é日🙂 1234")
"""Texts whose ids are part of what a tokenizer is known by."""

Encode = Callable[[str], list[int]]


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """Texts of one receiver as token ids.

    Attributes:
        name: the receiver's, for messages.
        tokenizer: its own.
        rows: how many tokens its embedding table holds.
    """

    name: str
    tokenizer: PreTrainedTokenizerBase
    rows: int

    def first(self, text: str) -> list[int]:
        """Return the ids of a text with which a prompt begins, without its start token.

        Raises:
            RequestError: a token of it is a control token, or has no embedding.
        """
        return list(self._known(text, True))

    def later(self, text: str) -> list[int]:
        """Return the ids of a text in the middle of a prompt.

        Raises:
            RequestError: as for `first`; or the tokenizer puts a space before it.
        """
        return list(self._known(text, False))

    @cached_property
    def lead(self) -> list[int]:
        """The ids with which the tokenizer begins every text: its start token, or none."""
        marked = self._native("x", add_special_tokens=True)
        plain = self._native("x")
        lead = marked[: marked.index(plain[0])] if plain[0] in marked else []
        self._refuse_without_embedding(lead, "")
        return lead

    @cached_property
    def control(self) -> Mapping[str, int]:
        """Tokens by their texts that no text may become.

        Those that the tokenizer calls special, but for the unknown token, and those added ones
        that stand in its chat template.
        """
        template = self.tokenizer.chat_template
        written = template if isinstance(template, str) else json.dumps(template or "")
        special, unknown = set(self.tokenizer.all_special_ids), self.tokenizer.unk_token_id
        return {
            token.content: number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if number != unknown
            and not token.content.isspace()
            and (token.special or number in special or token.content in written)
        }

    def control_in(self, ids: Iterable[int]) -> str | None:
        """Return the first control token among ids, by its text; None without one."""
        found = next((number for number in ids if number in self._control_ids), None)
        return None if found is None else str(self.tokenizer.convert_ids_to_tokens(found))

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(self.control.values())

    def of_template(self, text: str, begins: bool) -> list[int]:
        """Return the ids of a part of a chat template, whose control tokens are such.

        Args:
            text: the part.
            begins: whether the prompt begins with it.
        """
        if begins:
            ids = self._native(text)
        else:
            # up to its first control token it continues what stands before, as text does
            places = [text.find(token) for token in self.control if token in text]
            start = min(places, default=len(text))
            ids = self.later(text[:start]) + (self._native(text[start:]) if text[start:] else [])
        self._refuse_without_embedding(ids, text)
        return ids

    def content_hash(self) -> str:
        """SHA-256 of what the tokenizer is and does: its serialisation, and the ids of PROBES."""
        tokenizer = self.tokenizer
        held = (
            _serialised(tokenizer) if tokenizer.is_fast else sorted(tokenizer.get_vocab().items())
        )
        ids = [[self._native(text), self._as_text(text)] for text in PROBES]
        decoded = [self._decode(row) for pair in ids for row in pair]
        return hash_data(
            [held, tokenizer.special_tokens_map, tokenizer.chat_template, ids, decoded]
        )

    @cached_property
    def _known(self) -> Callable[[str, bool], tuple[int, ...]]:
        """The same texts stand under each condition, and in most of the checks."""

        @lru_cache(maxsize=KNOWN_TEXTS)
        def ids(text: str, begins: bool) -> tuple[int, ...]:
            found = self._as_text(text) if begins else self._continuing(text)
            if token := self.control_in(found):
                self._refuse(
                    f"its tokenizer makes the control token {token!r} of the text {text!r:.80}; "
                    "allowed: a text without it"
                )
            self._refuse_without_embedding(found, text)
            if not begins and text:
                self._refuse_stray_space(found, text)
            return tuple(found)

        return ids

    def _native(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """As the tokenizer reads a text by itself, control tokens among it."""
        return list(self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])

    def _decode(self, ids: Iterable[int]) -> str:
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    @cached_property
    def _as_text(self) -> Encode:
        """Reads a text at a prompt's beginning, none of it as control tokens."""
        if (held := self._own) and (edited := _without_control(held, self.control)) != held:
            return _encoder_of(edited)

        def encode(text: str) -> list[int]:
            # a fast tokenizer takes the word for special tokens, a slow one for all that were added
            found = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
            return list(found["input_ids"])

        return encode

    @cached_property
    def _continuing(self) -> Encode:
        """Reads a text behind another one."""
        if held := self._own:
            text = _without_control(held, self.control)
            edited = _without_prefix(text)
            # where all blanks go and every word has the prefix, the prefix is what is left of them
            if edited == text or _drops_blanks(held["pre_tokenizer"]):
                return self._as_text
            return _encoder_of(edited)

        def encode(text: str) -> list[int]:
            for anchor in ANCHORS:
                before, whole = self._as_text(anchor), self._as_text(anchor + text)
                if whole[: len(before)] == before:
                    return whole[len(before) :]
            return self._as_text(text)

        return encode

    @cached_property
    def _own(self) -> dict[str, Any]:
        """A fast tokenizer's serialisation as data; empty for a slow one."""
        if not self.tokenizer.is_fast:
            return {}
        held: dict[str, Any] = json.loads(_serialised(self.tokenizer))
        return held | {"post_processor": None}

    def _refuse_without_embedding(self, ids: Iterable[int], text: str) -> None:
        for number in ids:
            if number >= self.rows:
                token = self.tokenizer.convert_ids_to_tokens(number)
                of = f" of the text {text!r:.60}" if text else ""
                self._refuse(
                    f"the token {token!r}{of} has the id {number}, and the embedding table holds "
                    f"{self.rows}; allowed: ids below that, so another tokenizer or another text"
                )

    def _refuse_stray_space(self, ids: list[int], text: str) -> None:
        anchor = ANCHORS[-1]
        start = self._as_text(anchor)
        joined, whole = self._decode([*start, *ids]), self._decode(self._as_text(anchor + text))
        # a normalising tokenizer loses more than spaces, and a border may keep what a word loses
        if joined != whole and _without_blanks(joined) == _without_blanks(whole):
            self._refuse(
                f"its tokenizer changes the space before the text {text!r:.60} where that stands "
                "in the middle of a prompt; allowed: a text that begins with a space"
            )

    def _refuse(self, what: str) -> NoReturn:
        raise RequestError(f"receiver {self.name}: {what}")


def _serialised(tokenizer: PreTrainedTokenizerBase) -> str:
    """A fast tokenizer's content, without how the last batch was cut and filled up."""
    backend: Tokenizer = tokenizer.backend_tokenizer
    cut, filled = backend.truncation, backend.padding
    backend.no_truncation()
    backend.no_padding()
    try:
        return backend.to_str()
    finally:
        if cut:
            backend.enable_truncation(**cut)
        if filled:
            backend.enable_padding(**filled)


def _without_blanks(text: str) -> str:
    return "".join(text.split())


def _encoder_of(held: Mapping[str, Any]) -> Encode:
    """A tokenizer of this serialisation that takes no special token for one."""
    tokenizer = Tokenizer.from_str(json.dumps(held))
    tokenizer.encode_special_tokens = True
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def _without_control(held: Mapping[str, Any], control: Mapping[str, int]) -> dict[str, Any]:
    """A serialisation in which each control token can be left unread: all of them special.

    A unigram model finds them in its vocabulary all the same; there they get a name that no text
    has.
    """
    added = [
        {**one, "special": one["special"] or one["content"] in control}
        for one in held["added_tokens"]
    ]
    model = held["model"]
    if model["type"] == "Unigram":
        named = {piece for piece, _ in model["vocab"]} & set(control)
        vocab = [
            [NO_TEXT + piece if piece in named else piece, score] for piece, score in model["vocab"]
        ]
        model = {**model, "vocab": vocab}
        added = [one for one in added if one["content"] not in named]
    return {**held, "added_tokens": added, "model": model}


def _without_prefix(held: Mapping[str, Any]) -> dict[str, Any]:
    """A serialisation that puts no space of its own before a text."""
    return {
        **held,
        "normalizer": _edited(held["normalizer"]),
        "pre_tokenizer": _edited(held["pre_tokenizer"]),
    }


def _edited(part: Any) -> Any:
    if part is None or part["type"] == "Prepend":
        return None
    for name in ("normalizers", "pretokenizers"):
        if name in part:
            inner = [one for one in map(_edited, part[name]) if one is not None]
            return {**part, name: inner} if inner else None
    if part["type"] == "Metaspace":
        return {**part, "prepend_scheme": "never"}
    return {**part, "add_prefix_space": False} if part.get("add_prefix_space") else part


def _drops_blanks(part: Any) -> bool:
    if part is None:
        return False
    kinds = [one["type"] for one in part.get("pretokenizers", [part])]
    return "WhitespaceSplit" in kinds or "Whitespace" in kinds

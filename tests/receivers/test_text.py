"""Texts as token ids: joined they are the joined text, and no text is a control token."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.tokenization_python import PreTrainedTokenizer

from lpca.base.errors import RequestError
from lpca.receivers.text import TextEncoder

LEAD = "Candidate cities: Oslo, Rome."
PARTS = (" I am off to Oslo now.", "\nQuestion: Where to?\nAnswer: To", "Oslo", " Oslo", ", so")
CONTROL = ("go <end> now", "<end>", "</s>go", "a<s> b </s>", "<tool> it", "<end><end>")
CORPUS = [LEAD, *PARTS, "go </s> <s> <end> <tool> now it b a"] * 3
SPECIAL = ["<unk>", "<s>", "</s>", "<end>"]
BYTES = [f"<0x{value:02X}>" for value in range(256)]
SPACES = decoders.Sequence(
    [
        decoders.Replace("▁", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Strip(" ", 1, 0),
    ]
)


def _sentencepiece(normalizer: Any, pre_tokenizer: Any) -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=[*SPECIAL, *BYTES])
    made.train_from_iterator(CORPUS, trainer)
    held = json.loads(made.to_str())
    # bytes are pieces of the model's, and no tokens that were added
    held["added_tokens"] = [one for one in held["added_tokens"] if one["content"] in SPECIAL]
    made = Tokenizer.from_str(json.dumps(held))
    made.normalizer, made.pre_tokenizer, made.decoder = normalizer, pre_tokenizer, SPACES
    return made


def _metaspace(scheme: str) -> Tokenizer:
    return _sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme=scheme))


def _prepending() -> Tokenizer:
    parts = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    return _sentencepiece(normalizers.Sequence(parts), None)


def _unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>")
    made.train_from_iterator(CORPUS, trainer)
    return made


def _byte_level(add_prefix_space: bool) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
    made.train_from_iterator(CORPUS, trainer)
    return made


MAKERS: dict[str, Callable[[], Tokenizer]] = {
    "first": lambda: _metaspace("first"),
    "always": lambda: _metaspace("always"),
    "never": lambda: _metaspace("never"),
    "prepending": _prepending,
    "unigram": _unigram,
    "byte level": lambda: _byte_level(False),
    "byte level with a space": lambda: _byte_level(True),
}


def fast(made: Tokenizer) -> PreTrainedTokenizerFast:
    """With a token that its chat template alone says is one, as tool calls have them."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    tokenizer.chat_template = "{{ messages[0]['content'] }}<tool>"
    return tokenizer


def encoder_of(tokenizer: PreTrainedTokenizerBase, rows: int = 1000) -> TextEncoder:
    return TextEncoder("tiny", tokenizer, rows)


@pytest.fixture(scope="module", params=MAKERS)
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    return encoder_of(fast(MAKERS[request.param]()))


def joined(encoder: TextEncoder, parts: Sequence[str]) -> str:
    ids = encoder.first(LEAD) + [token for part in parts for token in encoder.later(part)]
    return str(encoder.tokenizer.decode(ids)).removeprefix(" ")


def test_joined_ids_are_the_joined_text(encoder: TextEncoder) -> None:
    for part in PARTS:
        assert joined(encoder, [part]) == LEAD + part
    assert joined(encoder, PARTS) == LEAD + "".join(PARTS)


def test_no_text_is_a_control_token_and_none_is_lost(encoder: TextEncoder) -> None:
    control = set(encoder.control.values())
    assert {"<s>", "</s>", "<end>", "<tool>"} <= encoder.control.keys()
    for text in CONTROL:
        ids = [*encoder.first(text), *encoder.later(text)]
        assert not control & set(ids)
        assert joined(encoder, [text]) == LEAD + text
        # as the tokenizer itself reads it, it is one
        assert control & set(encoder.tokenizer(text, add_special_tokens=False)["input_ids"])


def test_a_template_writes_control_tokens(encoder: TextEncoder) -> None:
    ids = encoder.of_template(" so<end>\nGo<s>", begins=False)
    names = encoder.tokenizer.convert_ids_to_tokens(ids)
    assert [name for name in names if name in encoder.control] == ["<end>", "<s>"]
    text = str(encoder.tokenizer.decode(encoder.first("it") + ids))
    assert text.strip().startswith("it so<end>")


def test_a_start_token_stands_once_whatever_the_text_begins_with() -> None:
    from tokenizers.processors import TemplateProcessing

    made = _byte_level(False)
    made.post_processor = TemplateProcessing("<s> $A </s>", None, [("<s>", 1), ("</s>", 2)])
    encoder = encoder_of(fast(made))
    start = encoder.control["<s>"]
    assert encoder.lead == [start]
    assert (encoder.lead + encoder.first("<s>Go")).count(start) == 1


def test_an_id_beyond_the_table_is_refused_by_name() -> None:
    tokenizer = fast(_byte_level(False))
    (number,) = tokenizer.convert_tokens_to_ids(["ĠOslo"])
    encoder = encoder_of(tokenizer, rows=number)
    with pytest.raises(RequestError) as refused:
        encoder.later(" Oslo")
    assert str(refused.value).splitlines() == [
        f"receiver tiny: the token 'ĠOslo' of the text ' Oslo' has the id {number}, and the "
        f"embedding table holds {number}; allowed: ids below that, so another tokenizer or another "
        "text"
    ]
    assert encoder.first("<")


class Slow(PreTrainedTokenizer):
    """Words at blanks, as tokenizers in Python have them; a blank is part of the word behind it."""

    def __init__(self, words: Sequence[str], **more: Any) -> None:
        self.words = list(words)
        super().__init__(**more)

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def get_vocab(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words)}

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return list(text) if self.by_letter else text.split()

    by_letter = True

    def _convert_token_to_id(self, token: str) -> int:
        return self.get_vocab().get(token, 0)

    def _convert_id_to_token(self, index: int) -> str:
        return self.words[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return ("" if self.by_letter else " ").join(tokens)


def slow() -> Slow:
    letters = sorted(set("".join(CORPUS)))
    return Slow(["<unk>", "</s>", *letters], unk_token="<unk>", eos_token="</s>")


def test_a_slow_tokenizer_keeps_the_same_words() -> None:
    encoder = encoder_of(slow())
    assert encoder.control == {"</s>": 1}
    assert joined(encoder, [*PARTS, "go</s>"]) == LEAD + "".join(PARTS) + "go</s>"


def test_a_tokenizer_that_cannot_keep_them_is_refused() -> None:
    tokenizer = slow()
    tokenizer.by_letter = False
    encoder = encoder_of(tokenizer)
    with pytest.raises(RequestError, match="makes the control token '</s>' of the text ' go </s>'"):
        encoder.later(" go </s>")


def test_a_space_that_cannot_be_kept_out_is_refused() -> None:
    # all blanks go, and each word begins with one
    made = _unigram()
    metaspace = pre_tokenizers.Metaspace()
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    encoder = encoder_of(fast(made))
    assert joined(encoder, [" I am off"]) == f"{LEAD} I am off"
    with pytest.raises(RequestError, match="changes the space before the text 'Oslo'"):
        encoder.later("Oslo")


def test_a_changed_tokenizer_is_noticed_and_a_used_one_is_the_same() -> None:
    tokenizer = fast(_byte_level(False))
    was = encoder_of(tokenizer).content_hash()
    tokenizer("to Oslo, to Rome", truncation=True, max_length=2)
    assert encoder_of(tokenizer).content_hash() == was
    tokenizer.add_tokens([" Oslo"])
    more = encoder_of(tokenizer).content_hash()
    tokenizer.chat_template = "{{ 1 }}"
    assert len({was, more, encoder_of(tokenizer).content_hash()}) == 3


def test_a_receiver_whose_tokenizer_changes_has_another_state(tmp_path: Any) -> None:
    from tiny import save_tiny

    from lpca import load_receiver

    receiver = load_receiver(str(save_tiny(tmp_path)), "cpu")
    assert receiver.state_hash() == receiver.loaded_hash
    receiver.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert receiver.state_hash() != receiver.loaded_hash

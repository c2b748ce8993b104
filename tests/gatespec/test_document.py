from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpca.gatespec.document import Items, Scalar, Section, SpecError, read_document


def write(tmp_path, content):
    path = tmp_path / "gate_specs.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def error(tmp_path, content):
    path = write(tmp_path, content)
    with pytest.raises(SpecError) as caught:
        read_document(path)
    return str(caught.value).removeprefix(f"{path}:")


def test_every_value_knows_its_place(tmp_path):
    root = read_document(write(tmp_path, "a:\n  b: [x, 'y']\nc:   null\n"))
    inner = root.entries["a"].value
    assert isinstance(inner, Section)
    items = inner.entries["b"].value
    assert isinstance(items, Items)
    assert [(one.position.line, one.position.column) for one in items.nodes] == [(2, 7), (2, 10)]
    assert root.entries["c"].value.position.column == 6


@pytest.mark.parametrize("word", ["null", "no", "on", "1e3", "~", "0o17", "2026-01-22", ".nan"])
def test_words_are_kept_as_written(tmp_path, word):
    value = read_document(write(tmp_path, f"a: {word}\n")).entries["a"].value
    assert isinstance(value, Scalar)
    assert value.text == word


@pytest.mark.parametrize(
    ("yaml", "offset", "place"),
    [
        ("a: normal > x\n", 9, (1, 13)),
        ("a: 'normal > x'\n", 9, (1, 14)),
        ('a: "normal > x"\n', 9, (1, 14)),
        ('a: "norm\\x61l > x"\n', 9, (1, 4)),
        ("a: >\n  normal > x\n", 9, (1, 4)),
        ("a: normal\n  > x\n", 9, (1, 4)),
    ],
)
def test_a_character_is_placed_where_the_file_shows_it(tmp_path, yaml, offset, place):
    value = read_document(write(tmp_path, yaml)).entries["a"].value
    assert isinstance(value, Scalar)
    position = value.at(offset)
    assert (position.line, position.column) == place


@pytest.mark.parametrize(
    ("content", "start", "says"),
    [
        ("", "1:1: ", "empty"),
        ("# only a comment\n", "1:1: ", "empty"),
        ("a: 1\na: 2\n", "2:1: ", "twice (first on line 1)"),
        ("x:\n  a: 1\n  b: 2\n  a: 3\n", "4:3: ", "'a' stands twice"),
        ("- a\n", "1:1: ", "a list"),
        ("word\n", "1:1: ", "'word'"),
        ("a: 1\n---\nb: 2\n", "2:1: ", "second YAML document"),
        ("a:\n\tb: 1\n", "2:1: ", "spaces, never tabs"),
        ("a: &x 1\n", "1:4: ", "anchors and aliases (&x)"),
        ("a: *x\n", "1:4: ", "anchors and aliases (*x)"),
        ("a: !!python/object:os.system 1\n", "1:4: ", "tag"),
        ("a: !x [1]\n", "1:4: ", "tag"),
        ("? [a]\n: 1\n", "1:3: ", "a key is a list"),
        ("a: " + "[" * 900, "1:23: ", "nested"),
        ("a: [1\n", "2:1: ", "not valid YAML"),
        (b"a: 1\nb: caf\xe9\n", "2:7: ", "0xe9 is not UTF-8"),
        ("a: 1\n".encode("utf-16"), "1:1: ", "not UTF-8"),
        ("a: 1\nb: x\0y\n", "2:5: ", "'\\x00' is not allowed"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path, content, start, says):
    message = error(tmp_path, content)
    assert message.startswith(start), message
    assert says in message


def test_an_alias_bomb_is_refused_at_its_first_anchor(tmp_path):
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
    )
    assert error(tmp_path, bomb).startswith("1:4: anchors")


def test_a_missing_file_and_a_directory_are_named_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SpecError, match=r"^nowhere\.yaml:1:1: there is no such file"):
        read_document("nowhere.yaml")
    with pytest.raises(SpecError, match=r"^folder:1:1: this is a directory"):
        read_document("folder")
    with pytest.raises(SpecError, match=r"cannot be read"):
        read_document("a\0b")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    assert list(read_document(write(tmp_path, b"\xef\xbb\xbfa: 1\n")).entries) == ["a"]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text("ab:-[]{}&*!'\"#|>\n\t ,?%@`\0é", max_size=60)))
def test_no_bytes_end_in_anything_but_a_spec_error(tmp_path_factory, content):
    data = content if isinstance(content, bytes) else content.encode()
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    with suppress(SpecError):
        assert read_document(path).entries is not None

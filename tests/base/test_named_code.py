"""A codec that is not there is told of without running any code of the user's."""

from __future__ import annotations

import pytest

from lpca.base.errors import RequestError
from lpca.base.named_code import refuse_missing

RUNS = "raise SystemExit('it was run')\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_codec.py").write_text(f"{RUNS}class Cut: ...\ndef make(receiver, k): ...\n")
    (tmp_path / "bound.py").write_text("from my_codec import make as own\nif True:\n    late = 1\n")
    (tmp_path / "untold.py").write_text("globals()['made'] = print\n")
    (tmp_path / "broken.py").write_text("x = 1\ndef make(:\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text(RUNS)
    (tmp_path / "pack" / "inner.py").write_text("from my_codec import *\n")
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        *("my_codec:make", "my_codec:Cut", "my_codec:Cut.made_by", "bound:own", "bound:late"),
        *("untold:made", "pack.inner:whatever", "json:loads", "math:sqrt", "os.path:join"),
    ],
)
def test_what_is_there_or_may_be_is_let_be(folder, text):
    refuse_missing(text, [folder])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my_codek:make", "there is no module my_codek; did you mean 'my_codec'? allowed: "),
        ("my_codec:mak", "it has no 'mak'; did you mean 'make'? allowed: Cut, make"),
        ("bound:early", "it has no 'early'"),
        ("pack.outer:make", "there is no module pack.outer"),
        ("my_codec.inner:make", "there is no module my_codec.inner"),
        ("broken:make", "broken.py:2: SyntaxError"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(folder, text, message):
    with pytest.raises(RequestError) as refused:
        refuse_missing(text, [folder])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)

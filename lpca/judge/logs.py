"""Logs of other harnesses as rows: one document a row, one metric or scorer a column.

lm-evaluation-harness writes `samples_*.jsonl`, a line for each document and filter; inspect_ai
writes `.eval`, a zip of JSON, or `.json`, with a sample for each document and epoch. Either is of
one condition: files are aligned by the ids of their documents.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lpca.base.files import touching
from lpca.judge.formats import LARGEST_PART, LARGEST_WHOLE, parsed
from lpca.judge.outcomes import OutcomeError, clipped, shown
from lpca.judge.rows import REPEAT, Row

MOST_FILES = 200_000
"""Files in a zip: one for each sample, and a few about the whole."""
_LM_EVAL = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
    | {"doc_hash", "prompt_hash", "target_hash"}
)
"""What a line of lm-evaluation-harness has beside its metrics."""
_LETTERS: Mapping[str, float] = {"C": 1, "I": 0, "P": 0.5, "N": 0}
"""Correct, incorrect, partially correct and not answered, as inspect_ai counts them."""
_FILE_IN_ZIP = b"PK\x01\x02"
"""With these bytes each file's entry in the directory of a zip begins."""


def is_lm_eval(record: object) -> bool:
    """Whether an object is a line of lm-evaluation-harness."""
    return isinstance(record, dict) and record.keys() >= {"doc_id", "target", "filtered_resps"}


def is_inspect(held: object) -> bool:
    """Whether JSON is a log of inspect_ai."""
    return isinstance(held, dict) and held.keys() >= {"version", "status", "eval"}


def lm_eval_rows(records: Iterable[tuple[str, Any]], extra: Collection[str] = ()) -> Sequence[Row]:
    """One row for each document of an lm-evaluation-harness log, whatever its filters.

    Args:
        records: the place and the content of each line.
        extra: what else is taken from a line, such as `doc.title`.

    Returns:
        Rows with `episode` and a column for each metric: `acc`, or `exact_match,strict-match`
        where answers were filtered in several ways.

    Raises:
        OutcomeError: a line is another one than its first, or stands twice.
    """
    rows: dict[str, Row] = {}
    found: dict[tuple[str, str, str], Any] = {}
    for place, record in records:
        if not is_lm_eval(record):
            raise OutcomeError(f"{place} lacks doc_id, target or filtered_resps, which others have")
        document, applied = str(record["doc_id"]), str(record.get("filter", "none"))
        if document not in rows:
            values = {"episode": record["doc_id"], **_extra(record, extra)}
            rows[document] = Row(place, values, _answer(record["target"]))
        for metric in _metrics(record):
            at = (document, metric, applied)
            if at in found:
                raise OutcomeError(
                    f"{place}: document {clipped(document)} stands twice, also in "
                    f"{rows[document].place}; one line for each filter is allowed"
                )
            found[at] = record.get(metric)
    several = len({applied for _, _, applied in found}) > 1
    made: dict[str, dict[str, Any]] = {document: {} for document in rows}
    for (document, metric, applied), value in found.items():
        made[document][f"{metric},{applied}" if several else metric] = value
    return [
        Row(row.place, {**row.values, **made[document]}, row.answer)
        for document, row in rows.items()
    ]


def _metrics(record: Mapping[str, Any]) -> Sequence[str]:
    listed = record.get("metrics")
    if isinstance(listed, list):
        return [str(name) for name in listed]
    # older versions do not list them
    return [
        name
        for name, value in record.items()
        if name not in _LM_EVAL and isinstance(value, bool | int | float)
    ]


def inspect_rows(samples: Iterable[tuple[str, Any]], extra: Collection[str] = ()) -> Sequence[Row]:
    """One row for each sample of an inspect_ai log.

    Args:
        samples: the place and the content of each, or of its summary.
        extra: what else is taken from a sample, such as `metadata.document`.

    Returns:
        Rows with `episode`, with `repeat` where there are several epochs, and a column for each
        scorer; a scorer with several values has one for each, `scorer.name`.

    Raises:
        OutcomeError: something is no sample.
    """
    rows: list[Row] = []
    epochs: list[Any] = []
    for place, sample in samples:
        if not isinstance(sample, dict) or "id" not in sample:
            raise OutcomeError(f"{place} is no sample; allowed: an object with id and scores")
        epochs.append(sample.get("epoch", 1))
        values = {"episode": sample["id"], **_extra(sample, extra), **_scores(sample)}
        named = f"{place} (id {clipped(str(sample['id']))}, epoch {clipped(str(epochs[-1]))})"
        rows.append(Row(named, values, _answer(sample.get("target"))))
    if len(set(map(str, epochs))) > 1:
        return [
            Row(row.place, {**row.values, REPEAT: epoch}, row.answer)
            for row, epoch in zip(rows, epochs, strict=True)
        ]
    return rows


def _scores(sample: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    scores = sample.get("scores")
    for scorer, score in scores.items() if isinstance(scores, dict) else ():
        value = score.get("value") if isinstance(score, dict) else score
        for name, one in value.items() if isinstance(value, dict) else [("", value)]:
            column = f"{scorer}.{name}" if name else scorer
            found[column] = _LETTERS.get(one, one) if isinstance(one, str) else one
    return found


def inspect_samples(held: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The samples of a .json log of inspect_ai, each with its place."""
    samples = held.get("samples")
    if not isinstance(samples, list):
        raise OutcomeError("this log of inspect_ai holds no samples; allowed: a log with samples")
    return ((f"sample {number}", sample) for number, sample in enumerate(samples, start=1))


def zipped_rows(path: str, extra: Collection[str] = ()) -> tuple[str, Sequence[Row]]:
    """How an .eval log of inspect_ai ended, and a row for each of its samples.

    The summaries are read where the log has them: they hold ids and scores without transcripts.
    Nothing is unpacked onto the disk, and no file in the zip is read beyond its bound.

    Raises:
        OutcomeError: it is no such log, damaged, or too large.
    """
    _refuse_many_files(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = dict.fromkeys(archive.namelist())
            if "header.json" not in names and not any(map(_is_sample, names)):
                raise OutcomeError("this zip is no log of inspect_ai: it holds no samples")
            status = "unfinished"
            if "header.json" in names:
                header = parsed(_unzipped(archive, "header.json", LARGEST_WHOLE), 1)
                status = str(header.get("status")) if isinstance(header, dict) else status
            return status, inspect_rows(_zipped_samples(archive, list(names)), extra)
    except OutcomeError:
        raise
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise OutcomeError(f"this is no zip ({clipped(str(error))})") from None


def _is_sample(name: str) -> bool:
    return name.startswith("samples/") and name.endswith(".json")


def _zipped_samples(archive: zipfile.ZipFile, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    files = [name for name in names if _is_sample(name)]
    if "summaries.json" in names:
        held = parsed(_unzipped(archive, "summaries.json", LARGEST_WHOLE), 1)
        if not isinstance(held, list) or len(held) != len(files):
            told = len(held) if isinstance(held, list) else "no list of"
            raise OutcomeError(
                f"summaries.json has {told} samples, samples/ {len(files)}; allowed: the same"
            )
        for number, sample in enumerate(held, start=1):
            yield f"summaries.json: sample {number}", sample
        return
    for name in files:
        yield clipped(name), parsed(_unzipped(archive, name, LARGEST_PART), 1)


def _unzipped(archive: zipfile.ZipFile, name: str, most: int) -> str:
    """The text of a file in a zip; OutcomeError where it has more than `most` bytes."""
    where = clipped(name)
    try:
        with archive.open(name) as file:
            data = file.read(most + 1)
    except NotImplementedError:
        raise OutcomeError(
            f"{where} is compressed in a way that Python does not read; allowed: the same log "
            "after inspect log convert --to json"
        ) from None
    except (OSError, RuntimeError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise OutcomeError(f"{where} cannot be unpacked ({clipped(str(error))})") from None
    if len(data) > most:
        raise OutcomeError(f"{where} has more than {most} bytes; that many are allowed")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OutcomeError(f"{where}: byte {error.start} is not UTF-8") from None


def _refuse_many_files(path: str) -> None:
    """Raise OutcomeError for a directory that would fill the memory when it is opened."""
    count = 0
    try:
        touching("read", Path(path))
        with Path(path).open("rb") as file:
            while chunk := file.read(2**20):
                count += chunk.count(_FILE_IN_ZIP)
    except OSError as error:
        raise OutcomeError(f"the file cannot be read ({error.strerror})") from None
    if count > MOST_FILES:
        raise OutcomeError(f"this zip has {count} files; allowed: at most {MOST_FILES}")


def metric_of(rows: Sequence[Row], asked: str | None, given: Collection[str]) -> str:
    """The column of a log's outcomes.

    Args:
        rows: of the log.
        asked: the metric that the user names; it may lack its filter where one filter has it.
        given: columns that are something else.

    Raises:
        OutcomeError: there are several and none is asked for, or the one asked for is not there.
    """
    names = dict.fromkeys(name for row in rows for name in row.values)
    metrics = [name for name in names if name not in given and name not in ("episode", REPEAT)]
    if not metrics:
        raise OutcomeError("this log has no metric; allowed: a log with scores")
    if asked is None:
        if len(metrics) == 1:
            return metrics[0]
        raise OutcomeError(f"there are several metrics: {shown(metrics)}; choose by --metric")
    found = [name for name in metrics if asked in (name, f"{name},none")]
    found = found or [name for name in metrics if name.startswith(f"{asked},")]
    if len(found) != 1:
        raise OutcomeError(f"--metric {clipped(asked)}: allowed: {shown(metrics)}")
    return found[0]


def _extra(record: Mapping[str, Any], paths: Collection[str]) -> dict[str, Any]:
    """What stands at dotted paths, where something does."""
    found = {}
    for path in paths:
        held: Any = record
        for part in path.split("."):
            held = held.get(part) if isinstance(held, dict) else None
        if held is not None:
            found[path] = held
    return found


def _answer(target: object) -> str:
    return json.dumps(target, sort_keys=True, ensure_ascii=False)

"""Labelled texts: read from JSON Lines, brought to canonical form, deduplicated, split.

A row holds ``label``, ``source`` (optional: the file's name), an ``id`` (optional) and the text,
as ``text`` or as whatever the normaliser reads. The normaliser is named by import path
("package.module:function", row -> text), so training depends on no plugin.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.data.broken import Broken
from training.datasets import MAIL_FILES, WRITTEN
from training.datasets.jsonl import find_files, read_rows
from training.datasets.splits import Split, split_of, unit_interval

Normalizer = Callable[[dict[str, Any]], str]
WRITTEN_SOURCE = "written"
_WORD = re.compile(r"\w+")
_SPACE_BEFORE = re.compile(r" +([.,;:!?%)\]}])")
_SPACE_AFTER = re.compile(r"([(\[{$#]) +")
_SPACE_AROUND = re.compile(r"(?<=\w) ?(['’/@_-]) ?(?=\w)|(?<=\d) ?([.,:]) ?(?=\d)")
_DOT = re.compile(r"(?<=\w) ?\. ?(?=(?:com|net|org|info|biz|edu|gov|uk|de|ru)\b)|(?<=\bwww) ?\. ?")
_SCHEME = re.compile(r"\b(https?|ftp): ?/ ?/ ?", re.IGNORECASE)


@dataclass(frozen=True)
class LabelledText:
    """One text, its label (an index into the labels) and where it comes from."""

    text: str
    label: int
    source: str
    key: str

    @property
    def split(self) -> Split:
        """Decided by the key alone."""
        return split_of(self.key)


@dataclass(frozen=True)
class TextData:
    """Which labelled texts are used."""

    files: tuple[str, ...] = ()
    """JSON Lines files (.jsonl, also with .xz, .gz, .zst) or folders of them; rows hold text, label
    and source. None: the mail in training/datasets."""
    labels: tuple[str, ...] = ("ham", "spam")
    """The labels; the last one is the positive one."""
    normalizer: str = ""
    """Import path of a function from a row to the text the model reads, "module:function"."""
    max_per_source: int = 0
    """Texts used of one source; 0: all."""
    source_limits: dict[str, int] = field(default_factory=dict)
    """max_per_source for single sources."""
    rejoin: tuple[str, ...] = ()
    """Sources that were taken apart into tokens ("i ' m late ."): their spacing is put back."""
    max_broken: int = 100
    """Broken rows that are skipped before it becomes an error: no JSON, an unknown label, an empty
    text, an id with two texts."""
    leave_out: str = ""
    """A source that is used neither for training nor for calibration, only for testing."""

    @property
    def paths(self) -> list[Path]:
        """The files, folders replaced by what they hold; raises ValueError."""
        return find_files(self.files or [WRITTEN / f"{stem}.jsonl" for stem in MAIL_FILES])


def resolve_normalizer(path: str) -> Normalizer:
    """Import "module:function"; empty: the row's ``text`` (or headers and ``body``) as it is.

    Raises:
        ValueError: there is no such module or function.
    """
    if not path:
        return plain_row
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"normalizer {path!r}: expected module:function ({error})") from error
    if not callable(function):
        raise ValueError(f"normalizer {path!r} is no function")
    return function


def plain_row(row: dict[str, Any]) -> str:
    """Return a row's text without normalising it; raises KeyError when it holds none."""
    if "text" in row:
        return str(row["text"])
    headers = row.get("headers", {})
    lines = [f"{name}: {headers[name]}" for name in ("From", "Subject") if headers.get(name)]
    return "\n".join([*lines, "", str(row["body"])])


def rejoin(text: str) -> str:
    """Put back the spacing of a text that a corpus took apart into tokens, as far as it shows."""
    head, blank, body = text.partition("\n\n")
    return head + blank + _rejoined(body) if blank else _rejoined(text)


def _rejoined(text: str) -> str:
    text = _SPACE_AROUND.sub(lambda match: match[0].strip(), _DOT.sub(".", text))
    text = _SPACE_AFTER.sub(r"\1", _SPACE_BEFORE.sub(r"\1", text))
    return _SCHEME.sub(r"\1://", text)


def fingerprint(text: str) -> str:
    """Return a hash that ignores case, spacing and punctuation: near-copies share it."""
    words = " ".join(_WORD.findall(text.lower()))
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:24]


def load_texts(data: TextData, broken: Broken | None = None) -> list[LabelledText]:
    """Read, normalise, deduplicate and cap; sorted by key, so independent of file order.

    Args:
        broken: counts the rows that cannot be used; by default as ``data`` allows.

    Raises:
        BadInputError: more broken rows than allowed, the last one by file:line.
        ValueError: an unknown normaliser or source.
    """
    broken = broken or Broken(data.max_broken, setting="data.max_broken")
    return limit_sources(_unique(_read(data.paths, data, broken)), data)


def _read(paths: Sequence[Path], data: TextData, broken: Broken) -> Iterable[LabelledText]:
    normalize = resolve_normalizer(data.normalizer)
    numbers = {label: number for number, label in enumerate(data.labels)}
    first: dict[str, tuple[str, str]] = {}
    for path in paths:
        for place, row in read_rows(path, broken):
            try:
                text = _labelled(row, path, data, numbers, normalize)
                mark = fingerprint(text.text)
                seen, where = first.setdefault(text.key, (mark, place))
                if seen != mark:
                    raise ValueError(f"id {text.key!r} was there before with another text: {where}")
            except ValueError as error:
                broken.add(place, str(error))
            else:
                yield text


def _labelled(
    row: dict[str, Any],
    path: Path,
    data: TextData,
    numbers: dict[str, int],
    normalize: Normalizer,
) -> LabelledText:
    """Return a row's text; ValueError says why there is none."""
    ours = path.parent.resolve() == WRITTEN.resolve()
    label = row.get("label")
    if not isinstance(label, str) or label not in numbers:
        raise ValueError(f"label {label!r}: expected one of {', '.join(data.labels)}")
    # "lingspam/bare/part1" is a part of the source lingspam
    stem = path.name.partition(".")[0]
    named = str(row.get("source") or (WRITTEN_SOURCE if ours else stem))
    source = named.partition("/")[0]
    if source in data.rejoin and isinstance(row.get("text"), str):
        row["text"] = rejoin(row["text"])
    try:
        text = normalize(row)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no text: expected `text`, or `headers` and `body` ({error})") from error
    if not text.strip():
        raise ValueError("its text is empty")
    if ours:
        key = str(row["id"])
    elif row.get("id") is not None:
        key = f"{named}:{row['id']}"
    else:
        key = f"{source}:{fingerprint(text)}"
    return LabelledText(text, numbers[label], source, key)


def _unique(texts: Iterable[LabelledText]) -> list[LabelledText]:
    """Keep one of each fingerprint: our own before others', then the smallest key."""
    kept: dict[str, LabelledText] = {}

    def rank(text: LabelledText) -> tuple[bool, str]:
        return text.source != WRITTEN_SOURCE, text.key

    for text in texts:
        mark = fingerprint(text.text)
        if mark not in kept or rank(text) < rank(kept[mark]):
            kept[mark] = text
    return sorted(kept.values(), key=lambda text: text.key)


def limit_sources(texts: Sequence[LabelledText], data: TextData) -> list[LabelledText]:
    """Keep at most the allowed number of each source, chosen by a hash of the key."""
    unknown = set(data.source_limits) - {text.source for text in texts}
    if unknown:
        raise ValueError(f"source_limits names a source that is not there: {', '.join(unknown)}")
    counts: Counter[str] = Counter()
    kept = []
    for text in sorted(texts, key=lambda text: unit_interval(f"cap:{text.key}")):
        limit = data.source_limits.get(text.source, data.max_per_source)
        if text.source == data.leave_out or not limit or counts[text.source] < limit:
            kept.append(text)
            counts[text.source] += 1
    return sorted(kept, key=lambda text: text.key)


@dataclass(frozen=True)
class SplitTexts:
    """Texts by use; ``left_out`` holds the source that ``leave_out`` names."""

    train: list[LabelledText]
    validation: list[LabelledText]
    test: list[LabelledText]
    left_out: list[LabelledText]

    @classmethod
    def of(cls, texts: Sequence[LabelledText], leave_out: str = "") -> SplitTexts:
        """Split by key.

        Raises:
            ValueError: no such source, or nothing is left to train or validate with.
        """
        sources = {text.source for text in texts}
        if leave_out and leave_out not in sources:
            raise ValueError(
                f"There is no source {leave_out!r} to leave out; "
                f"there are: {', '.join(sorted(sources))}"
            )
        uses: dict[str, list[LabelledText]] = {"train": [], "validation": [], "test": []}
        left_out = []
        for text in texts:
            if text.source == leave_out:
                left_out.append(text)
            else:
                uses[text.split].append(text)
        for use in ("train", "validation"):
            if len({text.label for text in uses[use]}) < 2:
                raise ValueError(
                    f"{len(uses[use])} texts for {use} hold fewer than two labels: more data needed"
                )
        return cls(uses["train"], uses["validation"], uses["test"], left_out)

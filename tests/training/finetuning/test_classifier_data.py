"""What the classifier learns from: read, split, balanced, changed on purpose."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.engine.windows import encode_windows
from assistant.errors import BadInputError
from assistant.tokenizer import END_OF_TEXT, Tokenizer
from training.data.broken import Broken
from training.finetuning.augmentation import (
    Augmentation,
    dilute,
    drop_headers,
    head_and_tail,
    one_window,
    windows_of,
)
from training.finetuning.labelled_text import (
    LabelledText,
    SplitTexts,
    TextData,
    fingerprint,
    load_texts,
    rejoin,
)
from training.finetuning.length_buckets import LengthBuckets

Write = Callable[[str, list[dict[str, Any]]], Path]
MAIL = "From: Ann <mail.example>\nSubject: Hello\n\nSee you.\n\nAnn"


def _rows(count: int, source: str = "a", start: int = 0) -> list[dict[str, Any]]:
    return [
        {"text": f"text {n} of {source}", "label": ["ham", "spam"][n % 2], "source": source}
        for n in range(start, start + count)
    ]


def _load(path: Path, **settings: Any) -> list[LabelledText]:
    return load_texts(TextData(files=(str(path),), **settings))


BAD_TEXTS = [
    ({"text": "x", "label": "junk"}, "label 'junk': expected one of ham, spam"),
    ({"text": "x", "label": ["ham"]}, "label .*expected one of ham, spam"),
    ({"label": "ham"}, "no text"),
    ({"text": " \n", "label": "ham"}, "its text is empty"),
    ({"text": "another", "label": "ham", "source": "a", "id": 1}, "id 'a:1' was there before"),
]


@pytest.mark.parametrize(("row", "complaint"), BAD_TEXTS)
def test_a_text_that_cannot_be_used_is_named_skipped_and_counted(
    write_rows: Write, row: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = _rows(2)
    rows[0]["id"] = 1
    path = write_rows("mail.jsonl", [*rows, row, *_rows(1, "b")])
    assert {t.source for t in _load(path, max_broken=1)} == {"a", "b"}
    assert re.search(
        rf"warning: .*mail\.jsonl:3: .*{complaint}.*; skipped", capsys.readouterr().err
    )
    with pytest.raises(BadInputError, match=rf"mail\.jsonl:3: .*{complaint}.*data\.max_broken"):
        _load(path, max_broken=0)


def test_an_id_that_comes_back_with_the_same_text_is_a_copy(write_rows: Write) -> None:
    rows = [{"text": "one", "label": "ham", "source": "a", "id": 1}] * 2
    assert len(_load(write_rows("mail.jsonl", rows), max_broken=0)) == 1


@pytest.mark.parametrize(
    "line", [b'{"text": ', b"[1]", b'{"text": "\xff", "label": "ham"}', b"x" * 300, b"[" * 100_000]
)
def test_a_line_that_is_no_row_is_skipped_like_any_other(
    write_rows: Write, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(line) == 300:  # what 100 MB are to the real limit
        monkeypatch.setattr("training.data.broken.LONGEST_LINE", 128)
    path = write_rows("mail.jsonl", _rows(4))
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]) + b"\n")
    broken = Broken(1, quiet=True)
    texts = load_texts(TextData(files=(str(path),)), broken)
    assert len(texts) == 4
    assert [place for place, _ in broken.found] == [f"{path}:3"]


def test_a_normalizer_is_found_by_its_import_path(write_rows: Write) -> None:
    path = write_rows("mail.jsonl", [{"text": "b", "label": "ham", "a": 1}])
    assert _load(path, normalizer="json:dumps")[0].text.startswith("{")
    for wrong in ("json:nothing", "no_such_module:f", "json", "json:decoder"):
        with pytest.raises(ValueError, match="normalizer"):
            _load(path, normalizer=wrong)


def test_near_copies_are_kept_once_whatever_the_order(write_rows: Write) -> None:
    rows = [
        {"text": "Buy  NOW!", "label": "spam", "source": "a", "id": "2"},
        {"text": "buy now", "label": "spam", "source": "a", "id": "1"},
        {"text": "buy later", "label": "spam", "source": "a", "id": "3"},
    ]
    forward = _load(write_rows("f.jsonl", rows))
    backward = _load(write_rows("b.jsonl", rows[::-1]))
    assert [t.key for t in forward] == ["a:1", "a:3"]
    assert forward == backward
    assert fingerprint("Don't, you?") == fingerprint("don t you")


def test_a_cap_keeps_the_same_texts_when_others_are_added(write_rows: Write) -> None:
    few = {t.key for t in _load(write_rows("few.jsonl", _rows(50)), max_per_source=20)}
    more = _load(write_rows("more.jsonl", _rows(50) + _rows(50, "b")), max_per_source=20)
    assert few == {t.key for t in more if t.source == "a"}
    assert Counter(t.source for t in more) == {"a": 20, "b": 20}
    with pytest.raises(ValueError, match="source_limits names a source that is not there: z"):
        _load(write_rows("more.jsonl", _rows(5)), source_limits={"z": 1})


def test_splits_do_not_overlap_and_the_left_out_source_is_tested_alone(write_rows: Write) -> None:
    texts = _load(write_rows("m.jsonl", _rows(300) + _rows(300, "b/part1")))
    splits = SplitTexts.of(texts, leave_out="b")
    parts = [splits.train, splits.validation, splits.test, splits.left_out]
    keys = [t.key for part in parts for t in part]
    assert len(keys) == len(set(keys)) == 600
    assert {t.source for t in splits.left_out} == {"b"}
    assert {t.source for part in parts[:3] for t in part} == {"a"}
    with pytest.raises(ValueError, match=r"no source 'c' to leave out; there are: a, b"):
        SplitTexts.of(texts, leave_out="c")


def test_too_little_data_is_said(write_rows: Write) -> None:
    with pytest.raises(ValueError, match="fewer than two labels"):
        SplitTexts.of(_load(write_rows("m.jsonl", _rows(4))))


def test_spacing_that_a_corpus_took_apart_is_put_back() -> None:
    body = "please don ' t go ( now ) . it ' s 4 , 500 at www . foo . com / bar , ok ?"
    assert rejoin(f"Subject: a : b\n\n{body}") == (
        "Subject: a : b\n\nplease don't go (now). it's 4,500 at www.foo.com/bar, ok?"
    )
    assert rejoin("A usual text, e.g. this one: it's fine (or so).") == (
        "A usual text, e.g. this one: it's fine (or so)."
    )


def test_only_header_lines_are_dropped() -> None:
    mail = "From: Ann <a>\nSubject: Hello\n\nFrom: quoted line\n\nbye"
    assert drop_headers(mail, ["From"]) == "Subject: Hello\n\nFrom: quoted line\n\nbye"
    assert drop_headers(mail, ["From", "Subject"]) == "\n\nFrom: quoted line\n\nbye"
    assert drop_headers(mail, []) == mail
    assert drop_headers("From: no blank line", ["From"]) == "From: no blank line"


def test_a_diluted_text_keeps_its_headers_and_its_body() -> None:
    draw = random.Random(1)  # noqa: S311
    innocent = "Subject: x\n\n" + "innocent words " * 100
    for _ in range(20):
        text = dilute(MAIL, innocent, draw)
        assert text.startswith("From: Ann <mail.example>\nSubject: Hello\n\n")
        assert "See you.\n\nAnn" in text
        assert "innocent" in text
        assert len(text) < len(MAIL) + 610


def test_a_long_text_keeps_its_head_and_tail(tokenizer: Tokenizer) -> None:
    text = "open the settings " + "and " * 500 + "call me later"
    ids = head_and_tail(text, tokenizer, 40)
    full = tokenizer.encode(text)
    assert len(ids) == 40
    assert ids[-1] == tokenizer.special(END_OF_TEXT)
    assert ids[:29] == full[:29]
    assert ids[29:39] == full[-10:]


def test_a_short_text_is_read_in_training_as_at_runtime(tokenizer: Tokenizer) -> None:
    draw = random.Random(1)  # noqa: S311
    for text in ("", "call me", MAIL):
        (window,) = encode_windows(text, tokenizer, 128, 96)
        assert head_and_tail(text, tokenizer, 128) == window
        assert one_window(text, tokenizer, 128, draw) == window


def _buckets(tokenizer: Tokenizer, **settings: Any) -> LengthBuckets:
    texts = [
        LabelledText(f"{n} " + "call " * (n % 30), n % 2, ("a", "b")[n % 3 == 0], f"k{n}")
        for n in range(120)
    ]
    chosen = {"augmentation": Augmentation(), "weights": {}, "seed": 1} | settings
    return LengthBuckets(texts, tokenizer, 64, 8, **chosen)


def _firsts(buckets: LengthBuckets, tokenizer: Tokenizer) -> Counter[str]:
    seen: Counter[str] = Counter()
    while buckets.epoch < 1:
        batch = buckets.next()
        for row, length in zip(batch.ids_BWT[:, 0], batch.lengths_BW[:, 0], strict=True):
            seen[tokenizer.decode(row[: int(length) - 1].tolist()).partition(" ")[0]] += 1
    return seen


def test_an_epoch_reads_every_text_as_often_as_its_source_weighs(tokenizer: Tokenizer) -> None:
    assert _firsts(_buckets(tokenizer), tokenizer) == {str(n): 1 for n in range(120)}
    weighted = _firsts(_buckets(tokenizer, weights={"b": 3.0}), tokenizer)
    assert weighted == {str(n): 3 if n % 3 == 0 else 1 for n in range(120)}
    with pytest.raises(ValueError, match="weights name a source that is not there: z"):
        _buckets(tokenizer, weights={"z": 1.0})


def test_texts_of_one_batch_are_of_similar_length(tokenizer: Tokenizer) -> None:
    buckets = _buckets(tokenizer)
    waste = []
    while buckets.epoch < 1:
        batch = buckets.next()
        waste.append(1 - float(batch.lengths_BW.sum()) / batch.ids_BWT.numel())
    assert sum(waste) / len(waste) < 0.12


def test_batches_go_on_where_a_saved_position_says(tokenizer: Tokenizer) -> None:
    augmentation = Augmentation(drop_from=0.5, window=0.5, window_positive=0.5, padding=0.5)
    first = _buckets(tokenizer, augmentation=augmentation)
    for _ in range(20):
        first.next()
    position = first.state()
    second = _buckets(tokenizer, augmentation=augmentation)
    second.load_state(position)
    for _ in range(20):
        one, two = first.next(), second.next()
        assert torch.equal(one.ids_BWT, two.ids_BWT)
        assert torch.equal(one.labels_B, two.labels_B)


def test_the_senders_of_a_telltale_source_are_dropped_more_often(tokenizer: Tokenizer) -> None:
    texts = [
        LabelledText(f"From: x\n\n{n}", n % 2, ("a", "b")[n % 3 == 0], str(n)) for n in range(90)
    ]
    augmentation = Augmentation(drop_from=0.0, drop_from_of={"b": 1.0})
    buckets = LengthBuckets(texts, tokenizer, 64, 8, augmentation, {}, 1)
    while buckets.epoch < 1:
        batch = buckets.next()
        for row, length in zip(batch.ids_BWT[:, 0], batch.lengths_BW[:, 0], strict=True):
            text = tokenizer.decode(row[: int(length) - 1].tolist())
            number = int(text.rpartition("\n")[2])
            assert text.startswith("From") == (number % 3 != 0)


def test_of_a_long_text_the_head_and_tail_and_other_windows_are_read(
    tokenizer: Tokenizer,
) -> None:
    long = " ".join(f"word{n}" for n in range(200))
    texts = [LabelledText(text, 0, "a", text[:9]) for text in (long, "call me", long + " end")]
    batch = LengthBuckets(texts, tokenizer, 64, 3, Augmentation(), {}, 1, windows=3).next()
    assert batch.ids_BWT.shape == (3, 3, 64)
    windows = windows_of(64).cut(long, tokenizer)
    found = 0
    for ids_WT, lengths_W in zip(batch.ids_BWT, batch.lengths_BW, strict=True):
        rows = [
            ids_T[:length].tolist()
            for ids_T, length in zip(ids_WT, lengths_W.tolist(), strict=True)
            if length
        ]
        if rows[0] == windows[0]:
            found += 1
            assert len(rows) == 3
            assert all(row in windows[1:] for row in rows[1:])
            assert rows[1] != rows[2]
        elif len(rows) == 1:
            assert rows[0] == head_and_tail("call me", tokenizer, 64)
    assert found == 1
    assert sorted((batch.lengths_BW > 0).sum(dim=1).tolist()) == [1, 3, 3]


def test_long_padding_stays_within_its_limit(tokenizer: Tokenizer) -> None:
    draw = random.Random(1)  # noqa: S311
    innocent = "From: x\n\n" + "abcdefgh " * 1000
    lengths = [len(dilute("From: y\n\nbuy", innocent, draw, 3000)) for _ in range(200)]
    assert 2000 < max(lengths) < 3050


def test_a_text_loses_some_of_its_tokens_but_never_the_last(tokenizer: Tokenizer) -> None:
    texts = [LabelledText("one two three " * 12 + str(n), 0, "a", str(n)) for n in range(64)]
    whole = LengthBuckets(texts, tokenizer, 64, 64, Augmentation(), {}, 1).next()
    some = LengthBuckets(texts, tokenizer, 64, 64, Augmentation(drop_tokens=0.5), {}, 1).next()
    kept = some.lengths_BW / whole.lengths_BW
    assert float(kept.max()) <= 1
    assert 0.65 < float(kept.mean()) < 0.85  # a share drawn from 0 to one half
    assert float(kept.min()) > 0.3
    for ids_T, length in zip(some.ids_BWT[:, 0], some.lengths_BW[:, 0].tolist(), strict=True):
        assert ids_T[length - 1] == tokenizer.special(END_OF_TEXT)

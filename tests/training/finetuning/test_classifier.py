"""Classification fine-tuning: it learns, stands by its neighbours, calibrates and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from assistant.tokenizer import Tokenizer
from training.checkpoint import Checkpoint, load_checkpoint
from training.config import load_config
from training.finetuning.classifier import (
    ClassifierTask,
    finetune_classifier,
    freeze_below,
    soft_maximum,
)
from training.finetuning.classifier_config import ClassifierConfig
from training.finetuning.classifier_report import margins_of, readable
from training.finetuning.labelled_text import LabelledText, TextData
from training.finetuning.length_buckets import TextBatch, pad, pad_windows
from training.finetuning.ngrams import NGramConfig
from training.finetuning.pooling import (
    LATER_PENALTIES,
    choose_later_penalty,
    largest,
    padded_texts,
)
from training.finetuning.scoring import CheckpointClassifier, window_margins
from training.model import Pooling, SequenceClassifier
from training.optimizer import OptimizerConfig
from training.run import Paused, Run

Write = Callable[[str, list[dict[str, Any]]], Path]


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_padding_and_batch_mates_leave_the_logits_unchanged(
    classifier: SequenceClassifier, tokenizer: Tokenizer, pooling: Pooling
) -> None:
    classifier.pooling = pooling
    rows = [tokenizer.encode("call me later "[: 3 * n] * 3) for n in range(1, 6)]
    alone = torch.cat([classifier(*pad([row])) for row in rows])
    torch.testing.assert_close(classifier(*pad(rows)), alone, rtol=1e-4, atol=1e-5)
    ids, lengths = pad(rows)
    wider = F.pad(ids, (0, 20), value=7)  # whatever the padding holds
    torch.testing.assert_close(classifier(wider, lengths), alone, rtol=1e-4, atol=1e-5)


def test_margins_keep_the_order_of_their_windows(
    classifier: SequenceClassifier, tokenizer: Tokenizer
) -> None:
    windows = [tokenizer.encode(t) for t in ("call me later", "open", "the free prize now or")]
    logits = torch.cat([classifier(*pad([w])) for w in windows]).detach().numpy()
    np.testing.assert_allclose(
        window_margins(classifier, windows), logits[:, 1] - logits[:, 0], rtol=1e-3, atol=1e-4
    )


def test_the_shipped_graphs_margins_are_the_checkpoints_rounded(
    classifier: SequenceClassifier, tokenizer: Tokenizer
) -> None:
    windows = {"tokens": 24, "stride": 23, "pool": "max", "head_share": 0.75}
    extra = {"positive": "spam", "windows": windows}
    checkpoint = Checkpoint(
        "classification", classifier.transformer, tokenizer, classifier, ["ham", "spam"], extra
    )
    texts = [LabelledText("call me later " * n, 0, "s", str(n)) for n in (1, 30, 4)]
    exact, shipped = margins_of(checkpoint, texts), margins_of(checkpoint, texts, as_shipped=True)
    assert [len(own) for own in shipped] == [len(own) for own in exact]
    for ours, theirs in zip(exact, shipped, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_a_mean_is_that_of_the_normed_states(
    classifier: SequenceClassifier, tokenizer: Tokenizer
) -> None:
    classifier.pooling = "mean"
    row = tokenizer.encode("call me later")
    states, _ = classifier.transformer.hidden(torch.tensor([row]))
    pooled = classifier.pooled(*pad([row, row * 2]))[0]
    torch.testing.assert_close(pooled, states[0].mean(0), rtol=1e-4, atol=1e-5)


def test_ngrams_are_fitted_beside_it_and_again_when_a_run_is_measured_again(
    write_rows: Write, tmp_path: Path
) -> None:
    path = write_rows("m.jsonl", _mail(300))
    ngrams = NGramConfig(buckets=1024, epochs=2, share=0.5)
    config = _config(path, loop={"steps": 2}, baselines=False, ngrams=ngrams)
    run = Run.create(tmp_path / "run", "classifier", config, argv=[])
    first, report = finetune_classifier(config, run)
    second, again = finetune_classifier(config, run, resume=True)
    for checkpoint in (first, second):
        assert checkpoint.classifier is not None
        assert checkpoint.classifier.ngrams is not None
    assert again["test"] == report["test"]
    assert report["decision"]["ngram_share"] == 0.5
    assert set(report["parts"]) == {"transformer alone", "n-grams alone"}
    alone, together = report["parts"]["n-grams alone"]["test"], report["test"]["all"]
    assert alone["roc_auc"] > 0.9  # words tell; the transformer has learned nothing in two steps
    assert together["roc_auc"] > report["parts"]["transformer alone"]["test"]["roc_auc"]


def test_a_head_goes_on_only_with_the_pooling_it_was_trained_with(
    write_rows: Write, tmp_path: Path
) -> None:
    path = write_rows("m.jsonl", _mail(300))
    config = _config(path, loop={"steps": 2}, baselines=False, pooling="mean")
    first, report = finetune_classifier(
        config, Run.create(tmp_path / "first", "classifier", config, argv=[])
    )
    assert first.classifier is not None
    assert first.classifier.pooling == first.provenance["pooling"] == "mean"
    assert report["test"]["all"]["n"] > 0
    checkpoint = str(tmp_path / "first" / "checkpoint")
    rate = OptimizerConfig(learning_rate=1e-9)
    for pooling in ("mean", "last"):
        loop = {"steps": 1, "optimizer": rate}
        config = _config(path, loop=loop, baselines=False, pooling=pooling, foundation=checkpoint)
        run = Run.create(tmp_path / pooling, "classifier", config, argv=[])
        again, _ = finetune_classifier(config, run)
        assert again.classifier is not None
        assert again.classifier.pooling == pooling
        same = torch.allclose(
            again.classifier.score.weight, first.classifier.score.weight, atol=1e-6
        )
        assert same == (pooling == "mean")


def test_one_batch_can_be_learned_by_heart(
    classifier: SequenceClassifier, tokenizer: Tokenizer
) -> None:
    rows = [tokenizer.encode(f"text {n} " + "call " * n) for n in range(8)]
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    ids, lengths = pad(rows)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.cross_entropy(classifier(ids, lengths), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def _mail(count: int, source: str = "corpus") -> list[dict[str, Any]]:
    rows = []
    for n in range(count):
        spam = n % 2 == 1
        body = "claim the free prize now" if spam else "call me later"
        text = f"Subject: {source} {n}\n\n{body} {n} " + "and then " * (n % 12)
        rows.append({"text": text, "label": "spam" if spam else "ham", "source": source})
    return rows


def _config(path: Path, **changes: Any) -> ClassifierConfig:
    config = load_config(ClassifierConfig, "tiny")
    loop = replace(config.loop, save_seconds=0.0, **({"steps": 60} | changes.pop("loop", {})))
    data = TextData(files=(str(path),), **changes.pop("data", {}))
    return replace(config, data=data, vocabulary_size=300, loop=loop, device="cpu", **changes)


def test_fine_tuning_learns_calibrates_and_reports(write_rows: Write, tmp_path: Path) -> None:
    rows = _mail(400) + _mail(60, "elsewhere")
    config = _config(write_rows("m.jsonl", rows), data={"leave_out": "elsewhere"})
    run = Run.create(tmp_path / "run", "classifier", config, argv=[])
    _, report = finetune_classifier(config, run)
    assert report["test"]["all"]["roc_auc"] > 0.95
    assert report["left out"]["all"]["n"] == 60
    assert set(report["left out"]) == {"all", "elsewhere"}
    assert set(report["baselines"]) == {"majority", "tf-idf + logistic regression"}
    assert report["baselines"]["majority"]["test"]["all"]["roc_auc"] == 0.5
    shown = readable(report)
    assert shown["test, compared"]["this model"] == report["test"]["all"]

    saved = load_checkpoint(run.checkpoint)
    extra = saved.extra
    assert extra["positive"] == saved.labels[-1] == "spam"
    assert extra["unsure"][1] == extra["threshold"] >= 0.5
    penalty = extra["windows"].pop("later_penalty")
    assert extra["windows"] == {
        "tokens": 96, "stride": 95, "pool": "max", "head_share": 0.75, "repeat_head": 18,
    }  # fmt: skip
    assert penalty in LATER_PENALTIES
    extra["windows"]["later_penalty"] = penalty
    assert extra["metrics"] == report["test"]["all"]

    scorer = CheckpointClassifier(saved)
    spam, ham, empty = scorer.score(["claim the free prize now 7", "call me later 8", ""])
    assert spam.probability > scorer.threshold > ham.probability
    assert empty.tokens == 1
    long = scorer.score(["call me later " * 200])[0]
    assert len(long.windows) > 2
    assert long.probability == max(long.windows)


def test_the_sources_that_are_left_out_change_nothing_but_the_report(
    write_rows: Write, tmp_path: Path
) -> None:
    weights = []
    for name, rows in (("with", _mail(300) + _mail(50, "b")), ("without", _mail(300))):
        leave_out = "b" if name == "with" else ""
        weights_of = {"b": 2.0} if name == "with" else {}
        path = write_rows(f"{name}.jsonl", rows)
        config = _config(
            path,
            loop={"steps": 3},
            data={"leave_out": leave_out},
            baselines=False,
            weights=weights_of,
        )
        run = Run.create(tmp_path / name, "classifier", config, argv=[])
        checkpoint, _ = finetune_classifier(config, run)
        weights.append(checkpoint.transformer.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_ends(
    write_rows: Write, tmp_path: Path
) -> None:
    path = write_rows("m.jsonl", _mail(300))
    whole = _config(path, loop={"steps": 5}, baselines=False)
    expected, report = finetune_classifier(
        whole, Run.create(tmp_path / "whole", "classifier", whole, argv=[])
    )
    cut = _config(path, loop={"steps": 5, "stop_after": 1e-9}, baselines=False)
    for attempt in range(10):
        run = Run.create(tmp_path / "cut", "classifier", cut, argv=[], resume=attempt > 0)
        try:
            found, again = finetune_classifier(cut, run, resume=attempt > 0)
            break
        except Paused:
            continue
    assert attempt > 1
    before, after = expected.transformer.state_dict(), found.transformer.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again["test"] == report["test"]


def test_a_foundation_brings_its_tokenizer_and_its_weights(
    foundation: Path, write_rows: Write, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    config = _config(
        write_rows("m.jsonl", _mail(300)),
        foundation=str(foundation),
        loop={"steps": 1},
        baselines=False,
    )
    run = Run.create(tmp_path / "run", "classifier", config, argv=[])
    checkpoint, _ = finetune_classifier(config, run)
    assert checkpoint.tokenizer.ranks == tokenizer.ranks
    assert (
        checkpoint.transformer.architecture == load_checkpoint(foundation).transformer.architecture
    )


def test_more_tokens_than_the_foundation_reads_are_refused(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    path = write_rows("m.jsonl", _mail(300))
    config = _config(path, foundation=str(foundation), max_tokens=4096)
    with pytest.raises(ValueError, match="max_tokens 4096: the foundation reads at most 128"):
        finetune_classifier(config, Run.create(tmp_path / "run", "classifier", config, argv=[]))


def test_a_checkpoint_in_training_is_no_classifier_yet(
    classifier: SequenceClassifier, tokenizer: Tokenizer
) -> None:
    checkpoint = Checkpoint(
        "classification", classifier.transformer, tokenizer, classifier, ["ham", "spam"]
    )
    with pytest.raises(ValueError, match="go on with --resume"):
        CheckpointClassifier(checkpoint)
    with pytest.raises(ValueError, match="not a classifier"):
        CheckpointClassifier(Checkpoint("chat", classifier.transformer, tokenizer))


def test_later_windows_are_discounted_as_far_as_padded_texts_are_found() -> None:
    positive = np.array([True, True, False, False])
    footers = [np.array(m) for m in ([3.0], [2.5, -4.0], [-3.0, 2.8], [-3.0, -3.0])]
    assert largest(footers, 0.5).tolist() == [3.0, 2.5, 2.3, -3.0]
    padded = [np.array([-2.0, m]) for m in (3.0, 3.5)]
    # below 0.5 a footer outweighs a positive text, from 5 on a padded text is lost
    assert choose_later_penalty(positive, footers, padded, 0.0) == 2.75
    assert choose_later_penalty(positive, footers, [], 0.0) == 2.75
    # here a passage convicts a padded text only up to 1: the footer alone would ask for more
    low = [np.array([-3.2, -1.9])]
    assert 0.5 <= choose_later_penalty(positive, footers, low, 0.0) <= 5.0


def test_texts_as_they_are_go_before_padded_ones() -> None:
    positive = np.array([True] * 4 + [False] * 2)
    margins = [np.array(m) for m in ([2.0], [2.0], [2.0], [2.0], [-3.0, 2.9], [-3.0, -3.0])]
    padded = [np.array([-3.0, 3.5])] * 3
    penalty = choose_later_penalty(positive, margins, padded, 0.0)
    assert largest(margins, penalty)[4] < 2.0  # all texts as they are are found
    assert largest(padded, penalty)[0] > largest(margins, penalty)[4]


def test_padded_texts_keep_their_headers_and_get_different_padding() -> None:
    spam = [LabelledText(f"From: a{n}\n\nbuy {n} now", 1, "s", f"{n}") for n in range(3)]
    words = " ".join(f"word{n}" for n in range(2000))
    texts = padded_texts([*spam, LabelledText(f"From: b\n\n{words}", 0, "s", "h")])
    for before, after in zip(spam, texts, strict=True):
        head, _, body = before.text.partition("\n\n")
        assert after.text.startswith(f"{head}\n\n")
        assert after.text.endswith(f"\n{body}")
        assert len(after.text) == len(before.text) + 2001
    assert len({text.text.partition("\n\n")[2][:200] for text in texts}) == 3


@pytest.mark.parametrize("layers", [0, 1])
def test_only_the_last_blocks_and_the_head_are_trained(
    layers: int, write_rows: Write, tmp_path: Path, foundation: Path
) -> None:
    config = _config(
        write_rows("m.jsonl", _mail(300)),
        foundation=str(foundation),
        train_layers=layers,
        loop={"steps": 2},
        baselines=False,
    )
    run = Run.create(tmp_path / "run", "classifier", config, argv=[])
    after = finetune_classifier(config, run)[0].transformer.state_dict()
    before = load_checkpoint(foundation).transformer.state_dict()
    changed = {name.split(".weight")[0] for name in before if not before[name].equal(after[name])}
    assert "norm" in changed
    assert "embed_tokens" not in changed
    assert any(name.startswith("layers.1.") for name in changed) == (layers == 1)
    assert not any(name.startswith("layers.0.") for name in changed)
    with pytest.raises(ValueError, match="the model has 2 blocks"):
        freeze_below(load_classifier_of(foundation), 3)


def load_classifier_of(foundation: Path) -> SequenceClassifier:
    return SequenceClassifier(load_checkpoint(foundation).transformer, 2)


def test_a_text_is_as_positive_as_its_windows_together(
    classifier: SequenceClassifier, tokenizer: Tokenizer
) -> None:
    texts = [
        [tokenizer.encode("call me later"), tokenizer.encode("the free prize now")],
        [tokenizer.encode("open")],
    ]
    task = ClassifierTask(classifier, tokenizer, [], ClassifierConfig(), {})
    loss, count = task.loss(TextBatch(*pad_windows(texts), torch.tensor([1, 0])))
    margins = [window_margins(classifier, windows) for windows in texts]
    weights = np.exp(margins[0]) / np.exp(margins[0]).sum()
    pooled = [float((weights * margins[0]).sum()), float(margins[1][0])]
    expected = np.logaddexp(0, -pooled[0]) + np.logaddexp(0, pooled[1])
    assert count == 2
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_soft_maximum_lies_between_mean_and_maximum_and_skips_what_is_not_there() -> None:
    inf = torch.inf
    margins = torch.tensor([[1.0, 9.0, -3.0], [2.0, -inf, -inf], [4.0, 4.0, -inf]])
    found = soft_maximum(margins)
    assert found.tolist() == pytest.approx([9.0, 2.0, 4.0], abs=0.01)
    margins.requires_grad_(True)
    soft_maximum(margins).sum().backward()
    assert torch.isfinite(margins.grad).all()

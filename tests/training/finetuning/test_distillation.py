"""Learning from a teacher's probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.finetuning.test_chat_finetuning import Write, _config, _dialogues
from training.checkpoint import load_checkpoint, save_checkpoint
from training.finetuning import distillation
from training.finetuning.chat import finetune_chat
from training.finetuning.conversations import Example
from training.finetuning.distillation import DistillationConfig, distillation_loss, divergence
from training.finetuning.packing import pack
from training.model import Transformer
from training.run import Run


@pytest.fixture
def teacher(foundation: Path) -> Transformer:
    found = load_checkpoint(foundation).decoder
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.ndim == 2:
                generator = torch.Generator().manual_seed(parameter.numel())
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return found.requires_grad_(False)


# two conversations of unequal length; what is not counted are the first two tokens of each
BATCH = pack([Example((5, 6, 7, 8, 9), (0, 0, 1, 1, 1)), Example((5, 6, 20), (0, 0, 1))])


def _by_definition(
    transformer: Transformer, teacher: Transformer, config: DistillationConfig
) -> Tensor:
    """One conversation, one token at a time."""
    total = torch.zeros(())
    seen = set()
    for row, length in enumerate(BATCH.lengths_K.tolist()):
        ids = BATCH.ids_KT[row : row + 1, :length]
        found = transformer(ids)[0].log_softmax(-1)
        wanted = teacher(ids)[0].softmax(-1)
        for place in range(length):
            if place < BATCH.shared:
                if place in seen:
                    continue
                seen.add(place)
            target = int(BATCH.targets_KT[row, place])
            if target < 0:
                total = total - config.others * (wanted[place] * found[place]).sum()
            else:
                soft = (wanted[place] * found[place]).sum()
                hard = found[place, target]
                total = total - (1 - config.written) * soft - config.written * hard
    return total


@pytest.mark.parametrize(("chunk", "others"), [(3, 0.4), (256, 0.4), (256, 0.0)])
def test_the_loss_and_its_gradients_are_the_definitions(
    transformer: Transformer,
    teacher: Transformer,
    chunk: int,
    others: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distillation, "CHUNK", chunk)
    config = DistillationConfig(written=0.25, others=others)
    expected = _by_definition(transformer, teacher, config)
    wanted = torch.autograd.grad(expected, list(transformer.parameters()))
    loss, tokens = distillation_loss(transformer, teacher, BATCH, config)
    assert tokens == (BATCH.computed if others else 4)
    torch.testing.assert_close(loss, expected)
    found = torch.autograd.grad(loss, list(transformer.parameters()))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_other_processors_compute_the_same(
    transformer: Transformer, teacher: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DistillationConfig()
    expected, _ = distillation_loss(transformer, teacher, BATCH, config)
    monkeypatch.setattr(distillation, "by_hand", lambda _: False)
    found, _ = distillation_loss(transformer, teacher, BATCH, config)
    torch.testing.assert_close(found, expected)


def test_nobody_differs_from_himself(transformer: Transformer, teacher: Transformer) -> None:
    differ, agree, tokens = divergence(transformer, transformer, BATCH)
    assert differ == pytest.approx(0, abs=1e-4)
    assert agree == tokens == BATCH.computed
    assert divergence(transformer, teacher, BATCH)[0] > 0.01


def test_a_model_comes_to_predict_what_its_teacher_does(
    foundation: Path, teacher: Transformer, write_rows: Write, tmp_path: Path
) -> None:
    known = load_checkpoint(foundation)
    known.transformer = teacher
    save_checkpoint(tmp_path / "teacher", known)
    settings = DistillationConfig(teacher=str(tmp_path / "teacher"), written=0.0, others=1.0)
    data = _dialogues(write_rows)
    results = {}
    for steps in (1, 60):
        config = _config(foundation, data, steps, distillation=settings)
        run = Run.create(tmp_path / str(steps), "chat", config, argv=[])
        results[steps] = finetune_chat(config, run).extra["metrics"]
    assert results[60]["teacher_divergence"] < 0.3 * results[1]["teacher_divergence"]
    assert results[60]["teacher_agreement"] > results[1]["teacher_agreement"]


def test_a_teacher_of_other_tokens_is_refused(
    foundation: Path, write_rows: Write, tmp_path: Path
) -> None:
    known = load_checkpoint(foundation)
    known.tokenizer.ranks.pop(next(reversed(known.tokenizer.ranks)))
    save_checkpoint(tmp_path / "other", known)
    config = _config(
        foundation, _dialogues(write_rows), 1,
        distillation=DistillationConfig(teacher=str(tmp_path / "other")),
    )  # fmt: skip
    with pytest.raises(ValueError, match="not a language model of the same tokens"):
        finetune_chat(config, Run.create(tmp_path / "run", "chat", config, argv=[]))

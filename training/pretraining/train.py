"""One run of pretraining, from prepared data to a checkpoint with samples."""

from __future__ import annotations

import json

import torch

from assistant.text import sanitize_line
from training.checkpoint import Checkpoint, load_checkpoint
from training.data.shards import TokenData, verify
from training.device import choose_device
from training.loop import train
from training.model import Transformer, parameter_count
from training.pretraining.config import PretrainConfig
from training.pretraining.task import PretrainTask, WindowSource
from training.run import Run, commit
from training.sampling import SamplingOptions
from training.tokenizer.train import load_tokenizer
from training.world import primary

SAMPLES = "samples.json"


def pretrain(config: PretrainConfig, run: Run, resume: bool = False) -> Checkpoint:
    """Train a foundation model and leave it in ``run.checkpoint``.

    Raises:
        ValueError: the data is not prepared or damaged, the settings do not fit, or the loss
            is not finite.
        Paused: see ``training.loop.train``.
    """
    device = choose_device(config.device)
    hashes = verify(config.data)
    run.data(hashes)
    tokenizer = load_tokenizer(config.data)
    train_data = TokenData(config.data, "train", config.context_length)
    held_out = TokenData(config.data, "validation", config.context_length)
    architecture = config.model.architecture(tokenizer.vocabulary_size)
    transformer = Transformer(architecture, config.context_length)
    transformer.initialize(config.seed)
    transformer.to(device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    task = PretrainTask(
        transformer,
        tokenizer,
        held_out,
        config.batch_size,
        config.eval_tokens,
        compile_model=config.compile and device.type == "cuda",
        provenance={"stage": "pretrain", "data": hashes, "commit": commit()},
        prompts=config.sample_prompts,
        sampling=SamplingOptions(max_tokens=config.sample_tokens, seed=config.seed),
    )
    source = WindowSource(train_data, config.batch_size, config.seed)
    metrics = train(transformer, task, source, config.loop, run, resume)
    checkpoint = load_checkpoint(run.checkpoint, device)
    samples = next((r["samples"] for r in reversed(run.metrics()) if r.get("samples")), {})
    text = json.dumps(samples, indent=2, ensure_ascii=False) + "\n"
    if primary():
        (run.directory / SAMPLES).write_text(text, encoding="utf-8")
    shown = {f"sample {n}": sanitize_line(p + s) for n, (p, s) in enumerate(samples.items(), 1)}
    run.summary(
        {"checkpoint": str(run.checkpoint), "parameters": parameter_count(transformer)}
        | {key: round(value, 5) for key, value in metrics.items()}
        | {"epochs": round(source.epoch, 3)}
        | shown
    )
    return checkpoint

"""One run of pretraining, from prepared data to a checkpoint with samples."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import torch

from assistant.text import byte_size, sanitize_line
from training.checkpoint import Checkpoint, load_checkpoint
from training.data.shards import TokenData, verify
from training.device import choose_device
from training.loop import train
from training.memory import fitted, free_bytes, need
from training.model import Transformer, parameter_count
from training.parallel import smallest
from training.pretraining.config import PretrainConfig
from training.pretraining.task import PretrainTask, WindowSource
from training.run import Run, commit
from training.sampling import SamplingOptions
from training.tokenizer.train import load_tokenizer
from training.world import primary

SAMPLES = "samples.json"


def fit(config: PretrainConfig, transformer: Transformer, device: torch.device) -> PretrainConfig:
    """Return the settings with micro-batches that fit the memory; the step stays the same."""
    free = free_bytes(device)
    if free is None:
        return config
    needed = need(transformer, config.context_length, config.loop.optimizer)
    largest = smallest(needed.largest(free), device)
    rows, accumulate = fitted(config.batch_size, config.loop.accumulate, largest)
    if rows > largest:
        print(
            f"warning: {byte_size(free)} are free; a micro-batch of {rows} sequences needs about "
            f"{byte_size(needed.training + rows * needed.sequence)}: choose a smaller batch_size, "
            "context_length or model",
            file=sys.stderr,
        )
    elif rows != config.batch_size:
        print(
            f"micro-batches of {rows} sequences fit here: {accumulate} of them a step instead of "
            f"{config.loop.accumulate} x {config.batch_size}",
            file=sys.stderr,
        )
    loop = replace(config.loop, accumulate=accumulate)
    return replace(config, batch_size=rows, loop=loop)


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
    if config.fit:
        config = fit(config, transformer, device)
    task = PretrainTask(
        transformer,
        tokenizer,
        held_out,
        config.batch_size,
        config.eval_tokens,
        compile_model=config.compile if device.type == "cuda" else config.compile_on_cpu,
        provenance={"stage": "pretrain", "data": hashes, "commit": commit()},
        prompts=config.sample_prompts,
        number=config.precision,
        sampling=SamplingOptions(max_tokens=config.sample_tokens, seed=config.seed),
    )
    source = WindowSource(train_data, config.batch_size, config.seed)
    metrics = train(transformer, task, source, config.loop, run, resume)
    checkpoint = load_checkpoint(run.checkpoint, device)
    logged = [row["samples"] for row in run.metrics() if row.get("samples")]
    samples: dict[str, str] = logged[-1] if logged else {}
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

"""The peers of the speed benchmark, at our shape: a loop in nanoGPT's manner and HF's Trainer.

nanoGPT (https://github.com/karpathy/nanoGPT) is written again here from its description in a few
lines: GPT-2's block (LayerNorm, learned positions, one product for q, k and v, GELU, four times
the width), AdamW with decay on matrices, gradients clipped to 1, plain eager PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assistant.bundle import Architecture


class _GptBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.c_back = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend, then transform."""
        B, T, D = x.shape
        q, k, v = (
            part.view(B, T, self.heads, D // self.heads).transpose(1, 2)
            for part in self.c_attn(self.ln_1(x)).split(D, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(B, T, D))
        return x + self.c_back(F.gelu(self.c_fc(self.ln_2(x))))


class NanoGpt(nn.Module):
    """GPT-2's decoder with the width, layers, heads and vocabulary of our preset."""

    def __init__(self, a: Architecture, length: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(a.vocabulary_size, a.width), nn.Embedding(length, a.width)
        self.blocks = nn.ModuleList(_GptBlock(a.width, a.heads) for _ in range(a.layers))
        self.ln_f = nn.LayerNorm(a.width, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss."""
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def nanogpt_steps(a: Architecture, ids: Tensor, rows: int, length: int) -> Iterator[None]:
    """Train step by step, for ever; random windows of ``ids`` as nanoGPT draws them."""
    model = NanoGpt(a, length)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95))
    while True:
        starts = torch.randint(len(ids) - length - 1, (rows,))
        x = torch.stack([ids[i : i + length] for i in starts])
        y = torch.stack([ids[i + 1 : i + 1 + length] for i in starts])
        model(x, y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield


def hugging_face_trainer(
    a: Architecture, ids: Tensor, rows: int, length: int, steps: int, folder: str
) -> Any:
    """Return a Trainer over a LlamaForCausalLM of our shape; the caller runs ``train``."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=a.vocabulary_size,
        hidden_size=a.width,
        intermediate_size=a.feed_forward,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.kv_heads,
        head_dim=a.head_dim,
        max_position_embeddings=length,
        tie_word_embeddings=True,
    )
    windows = ids[: len(ids) // length * length].view(-1, length)
    data = [{"input_ids": row, "labels": row} for row in windows]
    arguments = transformers.TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=rows,
        learning_rate=6e-4,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    model = transformers.LlamaForCausalLM(config)
    return transformers.Trainer(model=model, args=arguments, train_dataset=data)

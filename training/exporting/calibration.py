"""What a model's linear layers read on our own dialogues: calibration for the export."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from assistant.conversation import encode_conversation
from training.checkpoint import Checkpoint
from training.finetuning.conversations import DialogueData, load_dialogues
from training.model import Block
from training.moments import input_sums

# The first of the linear layers that share an input: mean of x x^T over tokens, [K, K].
Moments = dict[nn.Module, NDArray[np.float32]]
CALIBRATION_TOKENS = 4096


def calibration_texts(checkpoint: Checkpoint, tokens: int = CALIBRATION_TOKENS) -> list[list[int]]:
    """Return dialogues of the training split, spread evenly, of about so many tokens together."""
    prompt = str(checkpoint.extra.get("system_prompt", DialogueData().system_prompt))
    known = [d for d in load_dialogues(DialogueData()) if d.split == "train"]
    longest = checkpoint.transformer.context_length
    found: list[list[int]] = []
    # a stride that shares no factor with the number of dialogues meets each of them once
    for number in range(len(known)):
        dialogue = known[number * 997 % len(known)]
        ids, _ = encode_conversation(dialogue.variants(prompt)[0], checkpoint.tokenizer)
        found.append(ids[:longest])
        if sum(map(len, found)) >= tokens:
            break
    return found


@torch.no_grad()
def input_moments(checkpoint: Checkpoint, texts: Sequence[Sequence[int]]) -> Moments:
    """Return the second moments of what the blocks' linear layers read."""
    readers: list[nn.Module] = []
    for block in checkpoint.decoder.layers:
        assert isinstance(block, Block)
        attention, mlp = block.self_attn, block.mlp
        # k and v read what q reads; in a model with QK-norm each has a product of its own
        first = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
        if not checkpoint.decoder.architecture.qk_norm:
            del first[1:3]
        readers += [*first, mlp.gate_proj, mlp.down_proj]
    with input_sums(readers) as sums:
        for text in texts:
            checkpoint.decoder(torch.tensor([list(text)]))
    tokens = sum(map(len, texts))
    return {module: (total / tokens).cpu().numpy() for module, total in sums.items()}

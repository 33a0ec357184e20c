"""Low-rank adapters: train two thin matrices beside each frozen one (LoRA).

y = W x + (alpha / rank) B A x, https://arxiv.org/abs/2106.09685. Merging adds the product to W and
leaves an ordinary model; kept apart, W stays exactly what it was, for instance on a 4-bit grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.model import Transformer
from training.parallel import whole


@dataclass(frozen=True)
class LoraConfig:
    """Settings of the adapters."""

    rank: int = 0
    """Rank of the adapters on all linear layers of the blocks; 0: full fine-tuning."""
    alpha: float = 32.0
    """The adapters' output is scaled by alpha / rank."""
    merge: bool = True
    """Save one model with the adapters merged in. False saves them beside the frozen weights:
    a 4-bit export then keeps those exactly and adds the adapters in a small file."""


class LoraLinear(nn.Module):
    """A frozen linear layer and its adapter; at the start it computes what the layer computes."""

    def __init__(self, base: nn.Linear, config: LoraConfig, generator: torch.Generator) -> None:
        super().__init__()
        out_width, in_width = base.weight.shape
        self.base = base.requires_grad_(False)
        self.config = config
        self.scale = config.alpha / config.rank
        drawn = torch.randn(config.rank, in_width, generator=generator) * in_width**-0.5
        device = base.weight.device
        self.lora_a = nn.Parameter(drawn.to(device))
        self.lora_b = nn.Parameter(torch.zeros(out_width, config.rank, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output plus the adapter's."""
        return self.base(x) + self.scale * F.linear(F.linear(x, self.lora_a), self.lora_b)

    def merged_weight(self) -> Tensor:
        """Return W + (alpha / rank) B A."""
        parts = (self.base.weight, self.lora_a, self.lora_b)
        base, a, b = (whole(part.detach()) for part in parts)
        return base + self.scale * (b @ a)


def add_lora(transformer: Transformer, config: LoraConfig, seed: int) -> int:
    """Freeze a transformer and put an adapter on each linear layer of its blocks, in place.

    Returns:
        the number of trainable parameters.
    """
    if config.rank < 1:
        raise ValueError(f"lora.rank {config.rank}: at least 1")
    generator = torch.Generator().manual_seed(seed)
    transformer.requires_grad_(False)
    for name, module in list(transformer.layers.named_modules()):
        if isinstance(module, nn.Linear):
            parent_name, _, attribute = name.rpartition(".")
            parent = transformer.layers.get_submodule(parent_name)
            setattr(parent, attribute, LoraLinear(module, config, generator))
    return sum(p.numel() for p in transformer.parameters() if p.requires_grad)


def lora_config(transformer: nn.Module) -> LoraConfig | None:
    """Return the settings of a transformer's adapters; None when it has none."""
    adapters = (m for m in transformer.modules() if isinstance(m, LoraLinear))
    return next((adapter.config for adapter in adapters), None)


@torch.no_grad()
def merged(transformer: Transformer) -> Transformer:
    """Return the transformer without adapters; itself when it has none.

    Every process must call this where the weights are sharded.
    """
    adapters = {n: m for n, m in transformer.named_modules() if isinstance(m, LoraLinear)}
    if not adapters:
        return transformer
    state = {}
    for name, value in transformer.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        if owner in adapters:  # lora_a and lora_b are in the merged weight
            continue
        base_owner = owner.removesuffix(".base")
        if base_owner in adapters and leaf == "weight":
            state[f"{base_owner}.weight"] = adapters[base_owner].merged_weight()
        else:
            state[name] = whole(value)
    plain = Transformer(transformer.architecture, transformer.context_length)
    plain.to(transformer.embed_tokens.weight.device)
    plain.load_state_dict(state)
    return plain

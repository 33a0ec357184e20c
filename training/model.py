"""One decoder-only transformer for every model: our presets and imported Llama-layout weights.

RMSNorm (https://arxiv.org/abs/1910.07467), rotary positions (https://arxiv.org/abs/2104.09864),
grouped-query attention (https://arxiv.org/abs/2305.13245), SwiGLU
(https://arxiv.org/abs/2002.05202), tied embeddings, optional QK-norm
(https://arxiv.org/abs/2302.05442). Parameter names are Hugging Face's Llama names, so a
checkpoint's safetensors file is readable elsewhere.

Shapes: B batch, T tokens, S keys (past + T), D width, H query heads, K key/value heads,
E head dimension, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assistant.bundle import Architecture
from training.encoder import Encoder, real_mean
from training.fused import LONGEST, causal_attention, rms_norm, rotated
from training.ngrams import NGramScore
from training.packing import Packing


@dataclass(frozen=True)
class LayerCache:
    """Keys and values of one layer, each [B, K, S, E]; keys are already rotated."""

    key_BKSE: Tensor
    value_BKSE: Tensor


def rope_tables(length: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cos and sin, each [length, head_dim / 2], float32 (angles computed in float64)."""
    frequency = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    return angle.cos().float(), angle.sin().float()


def apply_rope(x_BHTE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the two halves of the head dimension; cos and sin broadcast to [B, 1, T, E / 2]."""
    if by_hand(x_BHTE):
        return rotated(x_BHTE, cos, sin)
    first, second = x_BHTE.float().chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(x_BHTE.dtype)


def by_hand(x: Tensor) -> bool:
    """Whether the gradients of training/fused.py are used: float32 on a CPU, not compiled."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling()


class RMSNorm(nn.Module):
    """Root-mean-square norm with a gain, computed in float32."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        if by_hand(x):
            return rms_norm(x, self.weight, self.epsilon)
        normed = F.rms_norm(x.float(), (x.shape[-1],), self.weight.float(), self.epsilon)
        return normed.to(x.dtype)


class Attention(nn.Module):
    """Grouped-query self-attention with rotary positions."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = a.heads, a.kv_heads, a.head_dim
        self.q_proj = nn.Linear(a.width, a.heads * a.head_dim, bias=False)
        self.k_proj = nn.Linear(a.width, a.kv_heads * a.head_dim, bias=False)
        self.v_proj = nn.Linear(a.width, a.kv_heads * a.head_dim, bias=False)
        self.o_proj = nn.Linear(a.heads * a.head_dim, a.width, bias=False)
        self.q_norm = RMSNorm(a.head_dim, a.norm_epsilon) if a.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(a.head_dim, a.norm_epsilon) if a.qk_norm else nn.Identity()

    def forward(
        self,
        x_BTD: Tensor,
        rope: tuple[Tensor, Tensor],
        packing: Packing | None,
        past: LayerCache | None,
    ) -> tuple[Tensor, LayerCache]:
        """Attend causally: to the past or, where sequences are packed, within each of them."""
        B, T, _ = x_BTD.shape
        q = self.q_norm(self.q_proj(x_BTD).view(B, T, self.heads, self.head_dim))
        k = self.k_norm(self.k_proj(x_BTD).view(B, T, self.kv_heads, self.head_dim))
        v = self.v_proj(x_BTD).view(B, T, self.kv_heads, self.head_dim)
        if packing is not None:
            q, k, v = packing.spread(q), packing.spread(k), packing.spread(v)
            T = q.shape[1]
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        q, k = apply_rope(q, *rope), apply_rope(k, *rope)
        if past is not None:
            k = torch.cat([past.key_BKSE, k], dim=2)
            v = torch.cat([past.value_BKSE, v], dim=2)
        cache = LayerCache(k, v)
        S = k.shape[2]
        if by_hand(q) and torch.is_grad_enabled() and 1 < T == S <= LONGEST:
            y = causal_attention(q, k, v)
        else:
            y = self._attended(q, k, v)
        y = y.transpose(1, 2).flatten(2)
        return self.o_proj(y if packing is None else packing.collect(y)), cache

    def _attended(self, q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor) -> Tensor:
        T, S = q_BHTE.shape[2], k_BKSE.shape[2]
        mask = None
        if 1 < T < S:
            mask = torch.ones(T, S, dtype=torch.bool, device=q_BHTE.device).tril(S - T)
        return F.scaled_dot_product_attention(
            q_BHTE,
            k_BKSE,
            v_BKSE,
            attn_mask=mask,
            is_causal=mask is None and T > 1,
            enable_gqa=self.heads != self.kv_heads,
        )


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(a.width, a.feed_forward, bias=False)
        self.up_proj = nn.Linear(a.width, a.feed_forward, bias=False)
        self.down_proj = nn.Linear(a.feed_forward, a.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Apply to each position."""
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


class Block(nn.Module):
    """Pre-norm attention and feed-forward with residual connections."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(a.width, a.norm_epsilon)
        self.self_attn = Attention(a)
        self.post_attention_layernorm = RMSNorm(a.width, a.norm_epsilon)
        self.mlp = FeedForward(a)

    def forward(
        self,
        x_BTD: Tensor,
        rope: tuple[Tensor, Tensor],
        packing: Packing | None,
        past: LayerCache | None,
    ) -> tuple[Tensor, LayerCache]:
        """Apply the block; returns the residual stream and this layer's keys and values."""
        attended, cache = self.self_attn(self.input_layernorm(x_BTD), rope, packing, past)
        x_BTD = x_BTD + attended
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD)), cache


class Transformer(nn.Module):
    """Token ids to hidden states and, through the tied embedding, to logits."""

    def __init__(self, architecture: Architecture, context_length: int) -> None:
        super().__init__()
        a = architecture
        self.architecture, self.context_length = a, context_length
        self.embed_tokens = nn.Embedding(a.vocabulary_size, a.width)
        self.layers = nn.ModuleList(Block(a) for _ in range(a.layers))
        self.norm = RMSNorm(a.width, a.norm_epsilon)
        cos, sin = rope_tables(context_length, a.head_dim, a.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.cos: Tensor
        self.sin: Tensor

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Draw fresh weights: normal(0, 1/sqrt(fan_in)), projections into the residual zero.

        Zero output projections make every block the identity at the start (the muP-style
        initialisation of modded-nanogpt); the embedding is normal(0, 0.02) so that the tied
        head starts near uniform logits.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
            else:
                deviation = 0.02 if "embed" in name else parameter.shape[1] ** -0.5
                drawn = torch.randn(parameter.shape, generator=generator) * deviation
                parameter.copy_(drawn.to(parameter.device))

    def hidden(
        self,
        ids_BT: Tensor,
        packing: Packing | None = None,
        past: list[LayerCache] | None = None,
    ) -> tuple[Tensor, list[LayerCache]]:
        """Return the final normed hidden states [B, T, D] and each layer's cache.

        Args:
            ids_BT: token ids.
            packing: the tokens, [1, N], are those of several sequences.
            past: caches of the tokens before.

        Raises:
            ValueError: a sequence reaches beyond ``context_length``.
        """
        T = ids_BT.shape[1] if packing is None else packing.token_KT.shape[1]
        start = 0 if past is None else past[0].key_BKSE.shape[2]
        if start + T > self.context_length:
            raise ValueError(
                f"{start + T} tokens are more than the context of {self.context_length}"
            )
        rope = self.cos[start : start + T], self.sin[start : start + T]
        x_BTD = self.embed_tokens(ids_BT)
        caches = []
        for index, layer in enumerate(self.layers):
            x_BTD, cache = layer(x_BTD, rope, packing, None if past is None else past[index])
            caches.append(cache)
        return self.norm(x_BTD), caches

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        """Return logits [..., V] in float32 through the tied embedding."""
        return F.linear(hidden_BTD, self.embed_tokens.weight).float()

    def forward(self, ids_BT: Tensor, packing: Packing | None = None) -> Tensor:
        """Return the logits [B, T, V] of every position."""
        return self.logits(self.hidden(ids_BT, packing)[0])


Pooling = Literal["last", "mean"]


class SequenceClassifier(nn.Module):
    """A transformer with a linear head over each sequence.

    Args:
        pooling: last: a decoder is read at its last real token, which alone has seen everything;
            mean: by the mean over the real tokens, as an encoder always is.

    Attributes:
        ngrams: a margin of the last label that is added to what the transformer says, if any.
    """

    def __init__(
        self, transformer: Transformer | Encoder, labels: int, pooling: Pooling = "last"
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling: Pooling = "mean" if isinstance(transformer, Encoder) else pooling
        self.score = nn.Linear(transformer.architecture.width, labels)
        self.ngrams: NGramScore | None = None

    def pooled(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Return what the head reads, [B, D].

        Sequences are padded on the right and no real token ever sees padding, so padding and
        batch mates cannot change the result.
        """
        if isinstance(self.transformer, Encoder):
            return self.transformer.mean(ids_BT, lengths_B)
        hidden_BTD, _ = self.transformer.hidden(ids_BT)
        if self.pooling == "mean":
            return real_mean(hidden_BTD, lengths_B)
        rows = torch.arange(ids_BT.shape[0], device=ids_BT.device)
        return hidden_BTD[rows, lengths_B - 1]

    def forward(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Return logits [B, labels] in float32."""
        logits_BL: Tensor = self.score(self.pooled(ids_BT, lengths_B)).float()
        if self.ngrams is None:
            return logits_BL
        last = F.one_hot(torch.tensor(logits_BL.shape[1] - 1)).to(logits_BL)
        return logits_BL + self.ngrams(ids_BT, lengths_B)[:, None] * last


def parameter_count(module: nn.Module) -> int:
    """Number of parameters (a tied weight counts once)."""
    return sum(parameter.numel() for parameter in module.parameters())

"""A bidirectional encoder in BERT's layout, for classifiers on imported sentence encoders.

https://arxiv.org/abs/1810.04805: learned positions, LayerNorm behind each part, GELU. Parameter
names are Hugging Face's BertModel names, so a checkpoint's safetensors file is readable
elsewhere. Shapes: B batch, T tokens, D width, H heads, E head dimension.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assistant.bundle import Architecture


class Embeddings(nn.Module):
    """Words, positions and the first segment's vector, summed and normalised."""

    def __init__(self, a: Architecture, context_length: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(a.vocabulary_size, a.width)
        self.position_embeddings = nn.Embedding(context_length, a.width)
        self.token_type_embeddings = nn.Embedding(2, a.width)
        self.LayerNorm = nn.LayerNorm(a.width, a.norm_epsilon)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Return [B, T, D]."""
        fixed = self.position_embeddings.weight[: ids_BT.shape[1]]
        summed = self.word_embeddings(ids_BT) + fixed + self.token_type_embeddings.weight[0]
        return self.LayerNorm(summed)


class SelfAttention(nn.Module):
    """Every token attends to all real ones."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.heads, self.head_dim = a.heads, a.head_dim
        self.query = nn.Linear(a.width, a.heads * a.head_dim)
        self.key = nn.Linear(a.width, a.heads * a.head_dim)
        self.value = nn.Linear(a.width, a.heads * a.head_dim)

    def forward(self, x_BTD: Tensor, mask_B11T: Tensor) -> Tensor:
        """Return [B, T, H * E]; ``mask`` is True at real tokens."""
        B, T, _ = x_BTD.shape
        q, k, v = (
            layer(x_BTD).view(B, T, self.heads, self.head_dim).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        if x_BTD.device.type == "cpu" and q.dtype == torch.bfloat16:
            y = attention_of_products(q, k, v, mask_B11T)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_B11T)
        return y.transpose(1, 2).reshape(B, T, -1)


def attention_of_products(
    q_BHTE: Tensor, k_BHSE: Tensor, v_BHSE: Tensor, mask_B11S: Tensor
) -> Tensor:
    """Return attention [B, H, T, E] as two matrix products and a softmax.

    torch's fused attention has no fast bfloat16 gradient on CPUs; the products have, and the
    probabilities of texts cut to a few hundred tokens fit into memory.
    """
    scores = (q_BHTE * q_BHTE.shape[-1] ** -0.5) @ k_BHSE.transpose(-1, -2)
    if not bool(mask_B11S.all()):
        scores = scores + torch.zeros_like(mask_B11S, dtype=scores.dtype).masked_fill(
            ~mask_B11S, -1e4
        )
    return torch.softmax(scores, -1, dtype=scores.dtype) @ v_BHSE


class Output(nn.Module):
    """A projection back into the stream, added to it and normalised."""

    def __init__(self, inner: int, a: Architecture) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, a.width)
        self.LayerNorm = nn.LayerNorm(a.width, a.norm_epsilon)

    def forward(self, inner: Tensor, x_BTD: Tensor) -> Tensor:
        """Return the new stream."""
        return self.LayerNorm(self.dense(inner) + x_BTD)


class EncoderBlock(nn.Module):
    """Attention and feed-forward, each normalised behind its residual connection."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(a), "output": Output(a.heads * a.head_dim, a)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(a.width, a.feed_forward)})
        self.output = Output(a.feed_forward, a)

    def forward(self, x_BTD: Tensor, mask_B11T: Tensor) -> Tensor:
        """Apply the block."""
        x_BTD = self.attention["output"](self.attention["self"](x_BTD, mask_B11T), x_BTD)
        return self.output(F.gelu(self.intermediate["dense"](x_BTD)), x_BTD)


class Encoder(nn.Module):
    """Token ids to states that know the whole text."""

    def __init__(self, architecture: Architecture, context_length: int) -> None:
        super().__init__()
        self.architecture, self.context_length = architecture, context_length
        self.embeddings = Embeddings(architecture, context_length)
        blocks = nn.ModuleList(EncoderBlock(architecture) for _ in range(architecture.layers))
        self.encoder = nn.ModuleDict({"layer": blocks})

    def hidden(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Return states [B, T, D] of texts padded on the right; no real token sees padding.

        Raises:
            ValueError: the tokens reach beyond ``context_length``.
        """
        T = ids_BT.shape[1]
        if self.context_length < T:
            raise ValueError(f"{T} tokens are more than the context of {self.context_length}")
        mask = torch.arange(T, device=ids_BT.device) < lengths_B[:, None]
        x_BTD = self.embeddings(ids_BT)
        for block in self.encoder["layer"]:  # type: ignore[attr-defined]
            x_BTD = block(x_BTD, mask[:, None, None])
        return x_BTD

    def mean(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the mean state [B, D] over each text's real tokens."""
        return real_mean(self.hidden(ids_BT, lengths_B), lengths_B)


def real_mean(hidden_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """Return the mean [B, D] over each row's first ``lengths_B`` states."""
    real = torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device) < lengths_B[:, None]
    return (hidden_BTD * real[..., None]).sum(1) / lengths_B[:, None]

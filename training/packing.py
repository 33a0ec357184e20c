"""Several sequences as one run of tokens: attention reads rows, all the rest just tokens.

Padding on the right of a row costs nothing but attention, and what all sequences begin with (a
system prompt) is computed once: under causal attention its states are the same in each of them.

Shapes: N tokens that are computed, K sequences, T tokens of the longest, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the tokens of several sequences stand.

    Attributes:
        place_N: of each token in the rows, counted through K x T.
        token_KT: the token at each place; any one where there is padding.
    """

    place_N: Tensor
    token_KT: Tensor

    @classmethod
    def of(cls, lengths_K: Tensor, shared: int) -> Packing:
        """Lay out sequences whose first ``shared`` tokens are the same."""
        T, device = int(lengths_K.max()), lengths_K.device
        column, row = torch.arange(T, device=device), torch.arange(len(lengths_K), device=device)
        once = (column >= shared) | (row[:, None] == 0)
        computed_KT = once & (column < lengths_K[:, None])
        token_KT = (computed_KT.flatten().cumsum(0) - 1).view(-1, T)
        token_KT[:, :shared] = token_KT[0, :shared].clone()
        return cls(computed_KT.flatten().nonzero()[:, 0], token_KT)

    def spread(self, x_1NHE: Tensor) -> Tensor:
        """Put tokens [1, N, H, E] into rows: [K, T, H, E]."""
        return x_1NHE[0].index_select(0, self.token_KT.flatten()).unflatten(0, self.token_KT.shape)

    def collect(self, x_KTC: Tensor) -> Tensor:
        """Take the tokens [1, N, C] out of rows."""
        return x_KTC.flatten(0, 1).index_select(0, self.place_N)[None]

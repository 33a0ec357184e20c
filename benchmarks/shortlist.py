"""How often a cheap first look at the head misses the token that the whole head would choose.

    python -m benchmarks.shortlist CHECKPOINT [--directions 64 128 192] [--dialogues 40]

The first look: project the last state on the directions that matter most for the scores, given
what our dialogues make the head read, and score all tokens with that many columns instead of all
(SVD-softmax, Shim et al., NIPS 2017); then score the best k again, exactly.
Prints the share of places of held-out dialogues where the right token is not among the best k,
with the columns rounded to 8 and to 4 bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from assistant.conversation import DEFAULT_SYSTEM_PROMPT, Message, encode_conversation
from benchmarks.quantization import dialogues
from training.checkpoint import Checkpoint, load_checkpoint
from training.exporting.calibration import calibration_texts
from training.exporting.quantization import quantize_int4_symmetric, quantize_int8

CALIBRATION_TOKENS = 16_000
DAMPING = 0.003
KEPT = (16, 64, 256, 512)


@torch.no_grad()
def final_states(checkpoint: Checkpoint, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Return what the head reads at every place of the texts, [T, D]."""
    states: list[NDArray[np.float32]] = []
    hook = checkpoint.decoder.norm.register_forward_hook(
        lambda _, __, output: states.append(output[0].float().numpy())
    )
    try:
        for text in texts:
            checkpoint.decoder(torch.tensor([list(text)]))
    finally:
        hook.remove()
    return np.concatenate(states)


def main() -> None:
    """Print a row for each number of directions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--directions", type=int, nargs="+", default=[64, 128, 192])
    parser.add_argument("--dialogues", type=int, default=40)
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    known_TD = final_states(checkpoint, calibration_texts(checkpoint, CALIBRATION_TOKENS))
    prompt = str(checkpoint.extra.get("system_prompt", DEFAULT_SYSTEM_PROMPT))
    held_out = [
        encode_conversation([Message("system", prompt), *dialogue], checkpoint.tokenizer)[0]
        for dialogue in dialogues(arguments.dialogues)
    ]
    states_TD = final_states(checkpoint, held_out)
    head_VD = checkpoint.decoder.embed_tokens.weight.detach().float().numpy()
    moment = (known_TD.T @ known_TD / len(known_TD)).astype(np.float64)
    moment += DAMPING * np.trace(moment) / len(moment) * np.eye(len(moment))
    root = np.linalg.cholesky(moment)
    weighted_VD = head_VD @ root
    directions_DD = np.linalg.eigh(weighted_VD.T @ weighted_VD)[1][:, ::-1]
    right_T = (states_TD @ head_VD.T).argmax(axis=1)
    print(f"{len(right_T)} places; missing from the best " + ", ".join(map(str, KEPT)))
    for count in arguments.directions:
        best = directions_DD[:, :count]
        columns_VR = (weighted_VD @ best).astype(np.float32)
        states_TR = (states_TD @ np.linalg.inv(root).T @ best).astype(np.float32)
        for bits, quantize in ((8, quantize_int8), (4, quantize_int4_symmetric)):
            scores_TV = states_TR @ quantize(columns_VR).dequantize().T
            right = np.take_along_axis(scores_TV, right_T[:, None], 1)
            better_T = (scores_TV > right).sum(axis=1)
            shares = "  ".join(f"{(better_T >= kept).mean():.2%}" for kept in KEPT)
            print(f"{count:4} directions, {bits} bit: {shares}", flush=True)


if __name__ == "__main__":
    main()

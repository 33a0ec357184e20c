"""From a sentence encoder in Hugging Face's BERT layout to a checkpoint.

all-MiniLM-L6-v2 (Apache-2.0, https://arxiv.org/abs/2002.10957 and
https://arxiv.org/abs/1908.10084): six layers that read a whole text at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from assistant.bundle import Architecture, file_sha256
from assistant.tokenizer import END_OF_TEXT, TokenizerSpec
from assistant.wordpiece import WordPieceTokenizer
from training.checkpoint import Checkpoint
from training.encoder import Encoder

CONFIG, WEIGHTS, VOCABULARY = "config.json", "model.safetensors", "vocab.txt"
SEPARATOR = "[SEP]"


def import_bert(directory: Path) -> Checkpoint:
    """Read an encoder into a checkpoint without a task; END_OF_TEXT is its separator.

    Raises:
        ValueError: a file is missing or damaged, or the layout is another.
    """
    try:
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(directory / WEIGHTS)
        pieces = (directory / VOCABULARY).read_text(encoding="utf-8").splitlines()
    except Exception as error:  # safetensors raises its own class for a cut file
        raise ValueError(f"{directory} holds no encoder ({error})") from error
    architecture = _architecture(directory, config)
    if SEPARATOR not in pieces or len(pieces) != architecture.vocabulary_size:
        raise ValueError(f"{directory / VOCABULARY} does not fit the weights")
    transformer = Encoder(architecture, int(config["max_position_embeddings"]))
    wanted = transformer.state_dict().keys()
    state = {
        k.removeprefix("bert."): v.float() for k, v in tensors.items() if v.is_floating_point()
    }
    if missing := sorted(wanted - state.keys()):
        raise ValueError(f"{directory / WEIGHTS} lacks {missing[0]} and {len(missing) - 1} more")
    transformer.load_state_dict({name: state[name] for name in wanted})
    spec = TokenizerSpec(
        file="tokenizer.tiktoken",
        pattern="",
        special_tokens={END_OF_TEXT: pieces.index(SEPARATOR)},
        vocabulary_size=len(pieces),
        kind="wordpiece",
    )
    ranks = {piece.encode("utf-8"): number for number, piece in enumerate(pieces)}
    return Checkpoint(
        task="pretrained",
        transformer=transformer.eval(),
        tokenizer=WordPieceTokenizer(spec, ranks),
        provenance={
            "foundation": "all-MiniLM-L6-v2",
            "origin": "imported from sentence-transformers/all-MiniLM-L6-v2, license Apache-2.0",
            "license": "Apache-2.0",
            "sha256": file_sha256(directory / WEIGHTS),
        },
    )


def _architecture(directory: Path, config: dict[str, Any]) -> Architecture:
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise ValueError(f"{directory} holds no BERT encoder with GELU")
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    return Architecture(
        layers=int(config["num_hidden_layers"]),
        width=width,
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        feed_forward=int(config["intermediate_size"]),
        vocabulary_size=int(config["vocab_size"]),
        norm_epsilon=float(config["layer_norm_eps"]),
        layout="bert",
    )

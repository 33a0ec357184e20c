"""From a GGUF file to a checkpoint."""

from __future__ import annotations

from pathlib import Path

from assistant.bundle import file_sha256
from training.checkpoint import Checkpoint
from training.importing.gguf_file import read_gguf
from training.model import Transformer

# What the imported model was tuned with; a bundle made from it unchanged keeps to it.
SMOLLM2_SYSTEM_PROMPT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def import_gguf(path: Path, context_length: int = 2048) -> Checkpoint:
    """Read a GGUF into a chat checkpoint.

    Raises:
        ValueError: unreadable, of an unknown layout, or trained for a shorter context.
    """
    model = read_gguf(path)
    if context_length > model.context_length:
        raise ValueError(
            f"the model was trained for {model.context_length} tokens, not {context_length}"
        )
    transformer = Transformer(model.architecture, context_length)
    transformer.load_state_dict(model.tensors)
    return Checkpoint(
        task="chat",
        transformer=transformer.eval(),
        tokenizer=model.tokenizer,
        extra={
            "system_prompt": SMOLLM2_SYSTEM_PROMPT,
            # greedy, with a penalty: without one a model this small falls into loops
            "generation": {"temperature": 0.0, "repetition_penalty": 1.1, "max_tokens": 512},
        },
        provenance={
            "foundation": "SmolLM2-135M-Instruct" if "mollm2" in model.name else model.name,
            "origin": f"imported from {path.name} ({model.quantization}), license {model.license}",
            "license": model.license,
            "sha256": file_sha256(path),
        },
    )

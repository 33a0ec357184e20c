"""Adapters beside 4-bit weights: the base stays byte for byte, the sum is what torch computes."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from assistant.bundle import Bundle, damaged_files, file_sha256
from assistant.engine.generator import TextGenerator
from tests.support.tiny import tiny_chat
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.exporting.export import export_bundle
from training.exporting.quantization import quantize_int4, quantize_int8
from training.finetuning.lora import LoraConfig, LoraLinear, add_lora, merged

SHAPES = [
    {},
    {"heads": 4, "kv_heads": 2, "head_dim": 16, "qk_norm": True},
    {"width": 80, "layers": 1},  # no multiple of the quantization block
]
IDS = list(range(40, 60))


def _adapted(checkpoint: Checkpoint, rank: int = 4) -> Checkpoint:
    """A copy with adapters that do something."""
    adapted = copy.deepcopy(checkpoint)
    add_lora(adapted.transformer, LoraConfig(rank=rank, alpha=8), seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in adapted.transformer.modules():
            if isinstance(module, LoraLinear):
                module.lora_b.copy_(0.1 * torch.randn(module.lora_b.shape, generator=generator))
    return adapted


def _data(bundle: Bundle) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in bundle.directory.glob("*.data")}


def _log_probabilities(bundle: Bundle) -> torch.Tensor:
    logits = TextGenerator(bundle, threads=1).forward(IDS, list(range(len(IDS))))
    return torch.log_softmax(torch.from_numpy(logits.copy()), -1)


def _divergence(expected: torch.Tensor, found: torch.Tensor) -> float:
    return float((expected.exp() * (expected - found)).sum(-1).mean())


@pytest.mark.parametrize("shape", SHAPES)
def test_adapters_leave_the_base_models_files_byte_for_byte(tmp_path, shape):
    base = tiny_chat(**shape)
    plain = export_bundle(base, tmp_path / "plain", "b", quantization="int4")
    tuned = export_bundle(_adapted(base, 24), tmp_path / "tuned", "b", quantization="int4")
    before, after = _data(plain), _data(tuned)
    side = "model.onnx.adapter.0.data"
    assert before.pop(side) != after.pop(side)
    assert before == after
    assert set(before) == {"model.onnx.0.data"}
    assert damaged_files(tuned) == []
    assert tuned.graph["adapter_rank"] == 24
    assert "adapters of rank 24 (" in (tuned.directory / "README.md").read_text()


def test_the_base_files_hold_codes_scales_and_offsets_in_their_old_order(tmp_path):
    checkpoint = tiny_chat(layers=1)
    bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization="int4")
    data = (bundle.directory / "model.onnx.0.data").read_bytes()
    block = checkpoint.decoder.layers[0]
    gate_up = torch.cat([block.mlp.gate_proj.weight, block.mlp.up_proj.weight])
    matrix = quantize_int4(gate_up.detach().numpy())
    assert matrix.offsets_NG is not None
    # what is smaller than a page is in the graph itself
    places = [data.index(matrix.codes_NGb.tobytes())]
    assert places[0] % 4096 == 0
    large = [block.mlp.down_proj.weight, block.self_attn.q_proj.weight]
    codes = [quantize_int4(weight.detach().numpy()).codes_NGb.tobytes() for weight in large]
    assert all(len(code) < 4096 or code in data for code in codes)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_graph_equals_torch_with_the_dequantized_base_and_the_adapters(tmp_path, shape):
    adapted = _adapted(tiny_chat(**shape))
    bundle = export_bundle(adapted, tmp_path / "b", "b", quantization="int4")
    base = _log_probabilities(
        export_bundle(tiny_chat(**shape), tmp_path / "plain", "b", quantization="int4")
    )
    with torch.no_grad():
        for name, parameter in adapted.transformer.named_parameters():
            if parameter.ndim == 2 and "lora" not in name:
                kind = quantize_int8 if "embed" in name else quantize_int4
                parameter.copy_(torch.from_numpy(kind(parameter.numpy()).dequantize()))
        expected = torch.log_softmax(adapted.transformer(torch.tensor([IDS]))[0], -1)
    # what remains is the rounding of activations to 8 bits
    assert _divergence(expected, _log_probabilities(bundle)) < 0.01
    assert _divergence(expected, base) > 0.1


def test_an_adapter_adds_no_operator_once_the_graph_is_loaded(tmp_path):
    counts = []
    for checkpoint in (tiny_chat(), _adapted(tiny_chat(), 24)):
        bundle = export_bundle(checkpoint, tmp_path / "b", "b", quantization="int4")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        onnxruntime.InferenceSession(str(bundle.graph_path), options)
        nodes = onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph.node
        counts.append(Counter(node.op_type for node in nodes))
    assert counts[0] == counts[1]
    assert counts[0]["MatMulNBits"] > 0


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_other_formats_merge_the_adapters(tmp_path, quantization):
    adapted = _adapted(tiny_chat())
    apart = export_bundle(adapted, tmp_path / "apart", "b", quantization=quantization)
    adapted.transformer = merged(adapted.transformer)
    plain = export_bundle(adapted, tmp_path / "plain", "b", quantization=quantization)
    assert _data(apart) == _data(plain)


def test_a_checkpoint_keeps_adapters_apart(tmp_path: Path):
    adapted = _adapted(tiny_chat())
    save_checkpoint(tmp_path / "c", adapted)
    loaded = load_checkpoint(tmp_path / "c")
    for name, value in adapted.transformer.state_dict().items():
        assert torch.equal(loaded.transformer.state_dict()[name], value), name
    ids = torch.tensor([IDS])
    torch.testing.assert_close(loaded.transformer(ids), adapted.transformer(ids))
    trained = {n for n, p in loaded.transformer.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)


def test_an_adapter_rank_truncates_and_says_what_it_lost(tmp_path):
    adapted = _adapted(tiny_chat(), 16)
    losses = [
        export_bundle(adapted, tmp_path / "b", "b", quantization="int4", adapter_rank=rank).graph[
            "adapter_loss"
        ]
        for rank in (2, 12, 48)
    ]
    assert losses[0] > losses[1] > losses[2] == 0
    with pytest.raises(ValueError, match="adapter rank 0"):
        export_bundle(adapted, tmp_path / "b", "b", quantization="int4", adapter_rank=0)

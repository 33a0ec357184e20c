"""The model card: written from the bundle and measured results, never by hand."""

from __future__ import annotations

from typing import Any

from assistant.bundle import Bundle


def model_card(bundle: Bundle, metrics: dict[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        metrics: what evaluation measured, name to figure; nested tables become sections.
    """
    a = bundle.architecture
    lines = [f"# {bundle.name}", ""]
    if bundle.description:
        lines += [bundle.description, ""]
    lines += [
        "| property | value |",
        "|---|---|",
        f"| task | {bundle.task} |",
        f"| architecture | {a.layers} layers x {a.width}, {a.heads}/{a.kv_heads} heads x "
        f"{a.head_dim}, feed-forward {a.feed_forward}, vocabulary {a.vocabulary_size} |",
        f"| context | {bundle.context_length} tokens |",
        f"| weights | {_weights(bundle)}, {_megabytes(bundle)} MB of files |",
    ]
    if bundle.task == "classification":
        facts = bundle.classification
        low, high = facts["unsure"]
        lines += [
            f"| labels | {', '.join(facts['labels'])} (positive: {facts['positive']}) |",
            f"| threshold | {facts['threshold']:.4f}; unsure from {low:.4f} to {high:.4f} |",
            f"| reads | windows of {facts['windows']['tokens']} tokens, the worst one counts |",
        ]
    lines += _section("Where it comes from", bundle.provenance)
    lines += _section("Measured", metrics)
    if bundle.task == "chat" and bundle.golden:
        lines += ["", "## First words", "", "Greedy, as exported, unedited:", ""]
        tokenizer = bundle.tokenizer()
        for record in bundle.golden:
            answer = tokenizer.decode(record["answer"]).strip().replace("\n", " ")
            lines += [f"- *{record['question']}* — {answer} …"]
    return "\n".join(lines) + "\n"


def _section(title: str, facts: dict[str, Any]) -> list[str]:
    """A table of plain values, then one section for each nested object."""
    if not facts:
        return []
    lines = []
    plain = [f"| {k} | {_shown(v)} |" for k, v in facts.items() if not isinstance(v, dict)]
    if plain:
        lines = ["", f"## {title}", "", "| what | value |", "|---|---|", *plain]
    for name, nested in facts.items():
        if isinstance(nested, dict):
            lines += _section(f"{title}: {name}", nested)
    return lines


def _weights(bundle: Bundle) -> str:
    rank = bundle.graph.get("adapter_rank")
    beside = f" and adapters of rank {rank}" if rank else ""
    if rank and "adapter_loss" in bundle.graph:
        beside += f" ({100 * bundle.graph['adapter_loss']:.2g}% lost in truncation)"
    return f"{bundle.graph['quantization']}{beside}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _megabytes(bundle: Bundle) -> str:
    return f"{bundle.size_bytes / 1e6:.1f}"

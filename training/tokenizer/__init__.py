"""Stage 1: a byte-level BPE tokenizer."""

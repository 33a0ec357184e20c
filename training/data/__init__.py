"""Stage 2: text files to shards of token ids."""

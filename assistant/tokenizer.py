"""A bundle's tokenizer: byte-level BPE by tiktoken, built from the bundle's own ranks.

``tiktoken.get_encoding`` downloads; this never does. Special tokens cannot be produced from
text: ``encode`` treats "<|im_end|>" in a user's message as the characters it consists of.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ModelError

if TYPE_CHECKING:
    import tiktoken

END_OF_TEXT = "<|endoftext|>"
MESSAGE_START = "<|im_start|>"
MESSAGE_END = "<|im_end|>"


@dataclass(frozen=True)
class TokenizerSpec:
    """What a bundle or a checkpoint says of its tokenizer.

    Attributes:
        file: name of the rank file, one ``base64(token bytes) rank`` a line.
        pattern: regular expression that splits text before the merges.
        special_tokens: name to id.
        vocabulary_size: number of rows of the embedding.
        kind: "bpe" (tiktoken's ranks) or "wordpiece" (pieces and their ids in the same format;
            ``assistant.wordpiece``, which has no pattern).
    """

    file: str
    pattern: str
    special_tokens: dict[str, int]
    vocabulary_size: int
    kind: str = "bpe"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TokenizerSpec:
        """Read the ``tokenizer`` object of a bundle.json; raises KeyError or TypeError."""
        return cls(
            file=str(data["file"]),
            pattern=str(data["pattern"]),
            special_tokens={str(k): int(v) for k, v in data["special_tokens"].items()},
            vocabulary_size=int(data["vocabulary_size"]),
            kind=str(data.get("kind", "bpe")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that ``from_json`` reads."""
        data: dict[str, Any] = {
            "file": self.file,
            "pattern": self.pattern,
            "special_tokens": self.special_tokens,
            "vocabulary_size": self.vocabulary_size,
        }
        return data if self.kind == "bpe" else data | {"kind": self.kind}


def read_ranks(path: Path) -> dict[bytes, int]:
    """Read a tiktoken rank file.

    Raises:
        ModelError: the file is missing or a line is not ``base64 rank``.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ModelError(f"The tokenizer {path} cannot be read ({error.strerror})") from error
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise ModelError(f"The tokenizer {path} is damaged at line {number}") from error
    return ranks


def write_ranks(path: Path, ranks: dict[bytes, int]) -> None:
    """Write ranks in tiktoken's format, sorted by rank."""
    lines = [
        base64.b64encode(token) + b" " + str(rank).encode()
        for token, rank in sorted(ranks.items(), key=lambda item: item[1])
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")


@dataclass
class Tokenizer:
    """Text to ids and back.

    ids at or above ``vocabulary_size`` never leave ``encode``: a vocabulary may lack tokens for
    some single bytes (SmolLM2 lacks 21), and tiktoken needs all 256, so the missing ones get
    ids above the vocabulary here and are dropped after encoding, as the model's own tokenizer
    drops them.
    """

    spec: TokenizerSpec
    ranks: dict[bytes, int]
    encoding: tiktoken.Encoding = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import tiktoken

        ranks = dict(self.ranks)
        spare = max(self.spec.vocabulary_size, max(ranks.values(), default=-1) + 1)
        self._has_all_bytes = True
        for value in range(256):
            if bytes([value]) not in ranks:
                ranks[bytes([value])] = spare
                spare += 1
                self._has_all_bytes = False
        self.encoding = tiktoken.Encoding(
            name="frontdesk",
            pat_str=self.spec.pattern,
            mergeable_ranks=ranks,
            special_tokens=self.spec.special_tokens,
        )

    @classmethod
    def load(cls, directory: Path, spec: TokenizerSpec) -> Tokenizer:
        """Build the tokenizer from ``directory / spec.file``, of the class the spec names.

        Raises:
            ModelError: the rank file is missing or damaged, or the kind unknown.
        """
        ranks = read_ranks(directory / spec.file)
        if spec.kind == "wordpiece":
            from assistant.wordpiece import WordPieceTokenizer

            return WordPieceTokenizer(spec, ranks)
        if spec.kind != "bpe":
            raise ModelError(f"Unknown kind of tokenizer {spec.kind!r}", "Update Frontdesk")
        return cls(spec, ranks)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids the model knows."""
        return self.spec.vocabulary_size

    def special(self, name: str) -> int:
        """Return the id of a special token; raises KeyError with its name."""
        return self.spec.special_tokens[name]

    def encode(self, text: str) -> list[int]:
        """Encode text; no special token can come out of it."""
        # Lone surrogates (from undecodable bytes) are no Unicode text; tiktoken would raise.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        ids = self.encoding.encode_ordinary(clean)
        if self._has_all_bytes:
            return ids
        return [i for i in ids if i < self.spec.vocabulary_size]

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Return the bytes of ids (which may end inside a UTF-8 character)."""
        return self.encoding.decode_bytes(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; incomplete UTF-8 becomes U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

"""Which items train, which validate, which test: decided by a hash of the id alone.

The split of an item never changes when others are added, removed or reordered.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

GROUNDED_BLOCK = 5
_GROUNDED = re.compile(r"(gro|gr2|gr3)-(\d+)")


def split_unit(item_id: str) -> str:
    """Return what is split as one: the id, or the block of five of a grounded item."""
    match = _GROUNDED.fullmatch(item_id)
    if match is None:
        return item_id
    return f"{match[1]}-block-{(int(match[2]) - 1) // GROUNDED_BLOCK:04d}"


def unit_interval(text: str) -> float:
    """Hash text to a float in [0, 1), the same on every machine."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def split_of(item_id: str, validation: float = 0.05, test: float = 0.05) -> Split:
    """Return the split of an item; ``validation`` and ``test`` are shares of the whole."""
    place = unit_interval(f"split:{split_unit(item_id)}")
    if place < test:
        return "test"
    return "validation" if place < test + validation else "train"

"""What is freed stays, so the second block costs no page faults; very large blocks go back."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource
from training.allocator import LARGEST_KEPT, keep_freed_memory

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept, large = LARGEST_KEPT - 2**16, 8 * LARGEST_KEPT
print(faults(large), faults(large), keep_freed_memory())
faults(kept)
print(faults(kept), faults(kept), faults(large), faults(large))
"""


def test_freed_memory_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    _, before, kept, *after = done.stdout.split()
    if kept == "False":
        pytest.skip("this C library has no such setting")
    assert int(before) > 1000
    assert [int(count) < 100 for count in after] == [True, True, False, False]

"""What is freed stays: the second block costs no page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource
from training.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(2**26)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults(), keep_freed_memory(), faults(), faults())
"""


def test_freed_memory_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    before, kept, first, second = done.stdout.split()
    if kept == "False":
        pytest.skip("this C library has no such setting")
    assert int(before) > 1000
    assert int(first) > 1000
    assert int(second) < 100

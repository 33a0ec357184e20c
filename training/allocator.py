"""Keep the memory that tensors free: on CPU each large one is otherwise fetched from the kernel
anew, which clears it page by page.
"""

from __future__ import annotations

import ctypes

# mallopt(3): parameters of the GNU C library's allocator
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
# The largest value the library takes. Blocks beyond it, logits above all, are mapped on their own
# and given back: kept in the heap, no two batches of them being of one size, they leave holes
# that nothing else fills, and a process grew to several times what it used.
LARGEST_KEPT = 2**25


def keep_freed_memory() -> bool:
    """Let freed memory stay with this process; returns whether the C library can do that.

    GNU's can: only very large blocks are mapped on their own (those go back to the kernel when
    freed), and the heap is never trimmed. Others, musl and macOS, are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    wanted = ((MMAP_THRESHOLD, LARGEST_KEPT), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**26))
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted)

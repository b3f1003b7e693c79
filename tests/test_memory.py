"""Memory that a worker has freed is the system's again."""

import subprocess
import sys

import pytest
from vidrag.ingest import memory

SCRIPT = """
import ctypes
from vidrag.ingest import memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

blocks = [libc.malloc(100_000) for _ in range(2000)]
for b in blocks:
    ctypes.memset(b, 1, 100_000)
for b in blocks[:-1]:  # the last one keeps the heap from shrinking by itself
    libc.free(b)
before = resident()
print(memory.give_back(), before - resident())
"""


def test_memory_that_is_free_goes_back_to_the_system() -> None:
    if memory._trim() is None:
        pytest.skip("this C library has no malloc_trim")
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout.split()
    assert told[0] == "True" and int(told[1]) > 150_000_000, told


def test_another_c_library_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_trim", lambda: None)
    assert memory.give_back() is False

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS_OF_A_SECOND_ARRAY = """
import resource, sys
import numpy as np
from spn4cir_core.engine.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(40_000_000, 1, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to")
def test_freed_memory_is_used_again() -> None:
    def faults(mode: str) -> int:
        command = [sys.executable, "-c", FAULTS_OF_A_SECOND_ARRAY, mode]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("keep") < faults("give back")


FAULTS_AFTER_A_BLOCK = """
import resource
import numpy as np
from spn4cir_core.engine.freed_memory import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(40_000_000, 1, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with freed_memory_kept():
    faults()
    inside = faults()
after = faults()
print(inside, after)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to")
def test_after_a_block_freed_memory_has_gone_back() -> None:
    command = [sys.executable, "-c", FAULTS_AFTER_A_BLOCK]
    inside, after = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert inside < after


PAGES_OF_LIBRARIES = """
from pathlib import Path
import torch
from spn4cir_core.engine.freed_memory import freed_memory_kept

def mapped():
    return int(Path("/proc/self/statm").read_text().split()[2])

before = mapped()
with freed_memory_kept():
    pass
print(before, mapped())
assert torch.ones(40, 40).matmul(torch.ones(40, 40)).sum() == 40**3
assert torch.nn.functional.conv2d(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 3, 3)).unique().item() == 9
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Linux's pages, by glibc")
def test_after_a_block_libraries_have_the_pages_alone_that_they_need_again() -> None:
    command = [sys.executable, "-c", PAGES_OF_LIBRARIES]
    before, after = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert after < before / 2


def test_arrow_takes_its_memory_from_the_c_library() -> None:
    code = "import spn4cir_core, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).strip() == "system"


HEAPS_OF_MANY_THREADS = """
import ctypes, os, sys, threading
from spn4cir_core.engine.freed_memory import keep_freed_memory

os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc, all_are_here = ctypes.CDLL(None), threading.Barrier(6)

def allocate():
    all_are_here.wait(20)
    libc.malloc(4096)
    all_are_here.wait(20)

threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fdopen.restype = ctypes.c_void_p
report = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, report)
libc.fflush(report)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to")
def test_threads_share_one_heap_for_each_processor() -> None:
    def heaps(mode: str, **variables: str) -> int:
        environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | variables
        command = [sys.executable, "-c", HEAPS_OF_MANY_THREADS, mode]
        return subprocess.check_output(command, env=environment, text=True).count("<heap ")

    assert heaps("keep") == 1 < heaps("as it is")
    assert heaps("keep", MALLOC_ARENA_MAX="3") == 3

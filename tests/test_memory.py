"""Memory that one request has freed is there for the next."""

import platform
import subprocess
import sys
from typing import Final

import pytest

_MEGABYTES: Final = 100
"""More than one of glibc's heaps has, less than what is kept."""

_THREAD_THAT_ASKS_AGAIN: Final = f"""
import resource, threading
from service.memory import keep_freed_memory

def fill():
    return [b"x" * (4 << 20) for _ in range({_MEGABYTES // 4})]

def ask():
    fill()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    fill()
    print(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

keep_freed_memory()
thread = threading.Thread(target=ask)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_thread_gets_what_it_freed_again_without_asking_the_system_for_pages() -> None:
    faults = subprocess.run([sys.executable, "-c", _THREAD_THAT_ASKS_AGAIN], capture_output=True, check=True, text=True)

    assert int(faults.stdout) < 100  # of 25,600 pages

from __future__ import annotations

import subprocess
import sys

import numpy as np
from threadpoolctl import ThreadpoolController

from spn4cir_core.engine.blas_threads import one_blas_thread


def blas_threads() -> list[int]:
    """Of numpy and scipy; tests that ran before may have loaded that of faiss, which is not theirs."""
    libraries = [one for one in ThreadpoolController().lib_controllers if one.user_api == "blas"]
    return [one.num_threads for one in libraries if "faiss" not in one.filepath]


def test_products_inside_are_on_one_thread_and_those_after_as_before() -> None:
    before = blas_threads()
    assert before, "numpy multiplies by a BLAS library"
    with one_blas_thread():
        assert set(blas_threads()) == {1}
        assert (np.ones((3, 4), np.float32) @ np.ones((4, 2), np.float32) == 4).all()
    assert blas_threads() == before


SCIPY_LATER = """
import numpy
from threadpoolctl import ThreadpoolController
from spn4cir_core.engine.blas_threads import one_blas_thread

with one_blas_thread():
    import scipy.optimize
    with one_blas_thread():
        print({one.num_threads for one in ThreadpoolController().lib_controllers if one.user_api == "blas"})
"""


def test_scipys_own_library_is_held_too_once_it_is_loaded() -> None:
    ran = subprocess.run([sys.executable, "-c", SCIPY_LATER], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "{1}"


def test_libraries_are_as_before_when_blocks_of_two_threads_overlap() -> None:
    before = blas_threads()
    assert max(before) > 1, "else nothing is limited"
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas_threads()) == {1}, "the second is still inside"
    second.__exit__(None, None, None)
    assert blas_threads() == before

"""How functions become kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function where another kernel calls it.

    Division gives infinity instead of an error, and nothing is allocated: what is compiled
    must not need Numba or Python when it runs.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast("Function", njit(error_model="numpy", **options)(function))

"""Compile the kernels into one file of machine code for this processor.

Numba makes LLVM's intermediate code of the kernels, which is turned into an object file that
needs neither Numba nor Python: a worker loads it in milliseconds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import llvmlite.binding as llvm
from numba import cfunc

from vin_batch.preprocess import machine_code
from vin_batch.preprocess.kernels.entry import SIGNATURES

_RUNTIME: Final = re.compile(r"^declare [^@]*@((?:numba_|NRT_|Py|_Py)\w+)\(", re.MULTILINE)
"""Functions of Numba's and Python's that only errors and allocations would call. There are
none in a kernel; what is left of the calls leads nowhere."""


def build(path: Path) -> None:
    """Compile all kernels and write them to a file."""
    target = machine_code.target()
    whole: Any = None
    symbols = {}
    missing: set[str] = set()
    for function, signature in SIGNATURES.items():
        compiled = cfunc(signature, error_model="numpy", no_cpython_wrapper=True)(function)
        code = compiled.inspect_llvm()
        symbols[function.__name__] = compiled.native_name
        missing |= set(_RUNTIME.findall(code))
        module = llvm.parse_assembly(code)
        if whole is None:
            whole = module
        else:
            whole.link_in(module)
    for name in sorted(missing):
        stub = f"define void @{name}() {{\n  call void @llvm.trap()\n  unreachable\n}}\n"
        whole.link_in(llvm.parse_assembly(f"declare void @llvm.trap()\n{stub}"))
    whole.verify()
    machine_code.write(path, symbols, target.emit_object(whole))

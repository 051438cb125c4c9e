"""Which processor and which BLAS kernel these figures are of."""

import ctypes
import platform
import re
from pathlib import Path

import numpy as np

ZEN_OF_FAMILY_25 = {range(0x10): "Zen 3", range(0x10, 0x20): "Zen 4", range(0x20, 0x60): "Zen 3"}
"""By AMD's model numbers; a virtual machine may give no other name than EPYC."""


def named() -> str:
    """One line: processor, its generation where known, and the BLAS kernel NumPy uses on it."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    kernel = f", {found} kernels" if (found := blas_kernel()) else ""
    python, numpy = f"Python {platform.python_version()}", f"NumPy {np.__version__}"
    where = f"{model()}; {platform.system()}, {python}, {numpy}"
    return f"{where}, {blas['name']} {blas['version']}{kernel}"


def slug() -> str:
    """For a file name: figures of different processors or kernels never share one."""
    words = f"{model()} {blas_kernel() or ''}".lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")


def model() -> str:
    facts = _cpuinfo()
    name = facts.get("model name") or platform.processor() or platform.machine()
    if (facts.get("vendor_id"), facts.get("cpu family")) != ("AuthenticAMD", "25"):
        return name
    number = int(facts.get("model", "0"))
    kinds = (zen for models, zen in ZEN_OF_FAMILY_25.items() if number in models)
    return f"{name} ({next(kinds, 'Zen')})"


def blas_kernel() -> str | None:
    """OpenBLAS's name for the processor it computes for: Haswell, SkylakeX ..."""
    maps = Path("/proc/self/maps")
    libraries = set(re.findall(r"/\S*openblas\S*", maps.read_text())) if maps.exists() else set()
    for library in libraries:
        loaded = ctypes.CDLL(library)
        for function in ("scipy_openblas_get_corename64_", "openblas_get_corename"):
            if hasattr(loaded, function):
                corename = getattr(loaded, function)
                corename.restype = ctypes.c_char_p
                return str(corename().decode())
    return None


def _cpuinfo() -> dict[str, str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return {}
    lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}

"""AMD's headers, compiled once a process of tests: reading them takes as long as a few small kernels."""

from __future__ import annotations

import atexit
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bnn2fpga.tools.gcc import find_gcc, header_folder

TEXT = '#define AP_INT_MAX_W 4096\n#include "ap_int.h"\n#include "hls_stream.h"\n'
"""As bnn2fpga.hpp begins; that it does so itself is seen wherever these flags are not given."""


@cache
def short_run() -> tuple[str, ...]:
    """Flags of g++ for a simulator that runs a few frames: with the headers in front, not optimized."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    header = Path(folder.name, "amd.hpp")
    header.write_text(TEXT)
    # it is taken only where the options are the same
    command = [find_gcc(), "-std=c++14", "-O0", "-w", f"-I{header_folder()}", "-x", "c++-header", str(header)]
    subprocess.run([*command, "-o", f"{header}.gch"], check=True)
    return "-O0", "-include", str(header)

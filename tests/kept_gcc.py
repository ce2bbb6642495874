"""Stands for g++ in the tests: what it made once is kept, by the content of all that goes into it.

    python kept_gcc.py REAL FOLDER ARGUMENTS…

REAL is g++, FOLDER keeps what it made, also for later runs. Calls with sanitizers, whose programs name their
source files, and those that make no file go straight to g++.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def main(real: str, folder: Path, arguments: Sequence[str]) -> None:
    """Ends this process with what g++ ends with."""
    if "-o" in arguments and not any(one.startswith("-fsanitize") for one in arguments):
        at = list(arguments).index("-o")
        inputs, output = [*arguments[:at], *arguments[at + 2 :]], Path(arguments[at + 1])
        key = _key(real, inputs)
        if key:
            with _locked(folder / key) as kept:
                if not kept.exists():
                    _make(real, _with_headers(real, folder, inputs), kept)
                if kept.exists():
                    kept.touch()  # the newest are kept
                    shutil.copy(kept, output)
                    sys.exit(0)
    # also for what g++ says of a program that it cannot compile
    os.execv(real, [real, *arguments])


def _key(real: str, inputs: list[str]) -> str:
    """Of the sources after the preprocessor, of objects, and of options but for the paths; "" on failure."""
    command = [real, *(one for one in inputs if one != "-c"), "-E", "-P"]
    text = subprocess.run(command, capture_output=True, check=False)
    if text.returncode:
        return ""
    version = subprocess.run([real, "--version"], capture_output=True, check=True).stdout
    options = [one for one in inputs if one.startswith("-") and not one.startswith("-I")]
    objects = [Path(one).read_bytes() for one in inputs if one.endswith(".o")]
    parts = (version, repr(options).encode(), *objects, text.stdout)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _with_headers(real: str, folder: Path, inputs: list[str]) -> list[str]:
    """The arguments, for a model of Verilator with its header in front, compiled already.

    All of them begin with it, and reading it takes a second. AMD's headers are not put in front: the
    generated C++ has to name them, and to say before how wide an integer may be.
    """
    paths = [one for one in inputs if one.startswith("-I") and Path(one[2:]).is_absolute()]
    headers = [Path(one[2:]).parent / "verilated.h" for one in paths if one.endswith("/vltstd")]
    if not headers:
        return inputs
    options = [one for one in inputs if one.startswith(("-std", "-O", "-D", "-w", "-pthread"))]
    command = [*options, *paths, "-x", "c++-header", str(headers[0])]
    with _locked(folder / f"{_key(real, command)}.hpp.gch") as made:
        if not made.exists():
            _make(real, command, made)
        # g++ takes what is compiled in place of a header, which need not be there
        return ["-include", str(made.with_suffix("")), *inputs] if made.exists() else inputs


def _make(real: str, arguments: list[str], kept: Path) -> None:
    """`kept`, all of it or nothing."""
    aside = kept.with_name(f".{os.getpid()}-{kept.name}")
    done = subprocess.run([real, *arguments, "-o", str(aside)], capture_output=True, check=False)
    if done.returncode == 0:
        aside.replace(kept)
    aside.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """For one process at a time, so that the others find what it makes."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])

"""What stands for g++ in the tests makes what g++ makes, once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import kept_gcc

PROGRAM = '#include "value.h"\n#include <cstdio>\nint main() { std::printf("%d", VALUE + ADDED); }\n'


class Compiler:
    """`kept_gcc` before a g++ that counts its calls which make a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kept, self.calls = folder, folder / "kept", folder / "calls"
        self.kept.mkdir()
        self.calls.touch()
        self.real = folder / "real"
        counting = f'case "$*" in *-E*|--version) ;; *) echo >> {self.calls};; esac'
        self.real.write_text(f'#!/bin/sh\n{counting}\nexec {shutil.which("g++")} "$@"\n')
        self.real.chmod(0o755)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit code and errors."""
        command = [sys.executable, kept_gcc.__file__, str(self.real), str(self.kept), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    def made(self, value: int, added: int = 0, name: str = "run") -> str:
        """What the compiled program prints."""
        (self.folder / "value.h").write_text(f"#define VALUE {value}\n")
        (self.folder / f"{name}.cpp").write_text(PROGRAM)
        arguments = (f"-DADDED={added}", "-I.", f"{name}.cpp", "-o", name)
        assert self(*arguments) == (0, "")
        return subprocess.run([self.folder / name], capture_output=True, text=True, check=True).stdout

    @property
    def count(self) -> int:
        return len(self.calls.read_text())


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return Compiler(tmp_path)


def test_the_same_is_compiled_once(compiler: Compiler) -> None:
    assert compiler.made(1) == compiler.made(1) == compiler.made(1, name="other") == "1"
    assert compiler.count == 1


def test_another_header_or_option_is_another_program(compiler: Compiler) -> None:
    assert [compiler.made(1), compiler.made(2), compiler.made(1, added=2)] == ["1", "2", "3"]
    assert compiler.count == 3


def test_another_object_is_another_program(compiler: Compiler) -> None:
    (compiler.folder / "main.cpp").write_text("int f(); int main() { return f(); }\n")
    for value in (3, 4):
        (compiler.folder / "f.cpp").write_text(f"int f() {{ return {value}; }}\n")
        assert compiler("-c", "f.cpp", "-o", "f.o") == (0, "")
        assert compiler("main.cpp", "f.o", "-o", "run") == (0, "")
        assert subprocess.run([compiler.folder / "run"], check=False).returncode == value


@pytest.mark.parametrize("text", ["int main() { return nonsense; }", '#include "absent.h"'])
def test_errors_are_those_of_gcc(text: str, compiler: Compiler) -> None:
    (compiler.folder / "run.cpp").write_text(text)
    code, errors = compiler("run.cpp", "-o", "run")
    assert code == 1 and "run.cpp:1:" in errors and "error: " in errors
    assert not (compiler.folder / "run").exists()


def test_a_program_that_names_its_sources_is_made_anew(compiler: Compiler) -> None:
    (compiler.folder / "run.cpp").write_text("int main() {}")
    for _ in range(2):
        assert compiler("-fsanitize=undefined", "run.cpp", "-o", "run") == (0, "")
    assert compiler.count == 2


def test_what_makes_no_file_goes_straight_to_gcc(compiler: Compiler) -> None:
    assert compiler("--version")[0] == 0 and compiler("-print-file-name=include")[0] == 0
    assert compiler.count == 1 and not list(compiler.kept.iterdir())

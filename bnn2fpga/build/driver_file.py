"""The driver's modules joined into one file, which is copied to the board."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from bnn2fpga import driver
from bnn2fpga.errors import BuildError

_HEAD = '''"""The driver of an accelerator that bnn2fpga built: numpy; pynq on a board; Python 3.8 or newer.

    from driver import Accelerator
    with Accelerator("FOLDER") as accelerator:
        accelerator.selftest()
        labels = accelerator.predict(frames)

Written by bnn2fpga; joined from the modules of bnn2fpga/driver, whose names stand above each part.
"""

from __future__ import annotations
'''


def driver_text() -> str:
    """driver.py: the modules in order, without their imports of one another.

    A BuildError if two of them define one name.
    """
    folder = Path(driver.__file__).parent
    parts, defined = [_HEAD], Counter[str]()
    for module in driver.MODULES:
        text = (folder / f"{module}.py").read_text(encoding="utf-8")
        dropped: set[int] = set()
        for statement in ast.parse(text).body:
            if _is_internal(statement):
                dropped |= set(range(statement.lineno, (statement.end_lineno or 0) + 1))
            defined.update(_names(statement))
        kept = [line for number, line in enumerate(text.splitlines(), 1) if number not in dropped]
        parts.append(f"\n# ---- {module}\n" + "\n".join(kept) + "\n")
    doubled = [name for name, count in defined.items() if count > 1]
    if doubled:
        raise BuildError(f"driver: {', '.join(doubled)} is defined by two modules; rename one")
    return "".join(parts)


def _is_internal(statement: ast.stmt) -> bool:
    """An import of another module of the driver, or one that may stand only at the top of a file."""
    return isinstance(statement, ast.ImportFrom) and (statement.level > 0 or statement.module == "__future__")


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return []

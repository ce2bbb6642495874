"""The notebooks run from top to bottom: on a PC, from a copied folder alone, on a stand-in for a board."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import bnn2fpga
from bnn2fpga import training
from bnn2fpga.build.deployment import BuiltFiles
from bnn2fpga.build.verify import random_frames
from tests.driver.deployments import deploy_pipeline, small_pipeline

FOLDER = Path(__file__).parents[1] / "notebooks"
TRAIN, INSIDE, BOARD, OWN = NAMES = (
    "01-train-and-compile",
    "02-look-inside",
    "03-on-board",
    "04-your-own-model",
)
ON_THE_BOARD = {"numpy", "matplotlib", "ipywidgets", "IPython", "driver", "pynq"}
"""What a board with PYNQ has, beside Python's own; `driver` comes with the deployment folder."""

NOTHING_INSTALLED = "import sys; sys.modules.update(dict.fromkeys(['bnn2fpga', 'sklearn']))"
"""Makes these fail to import, as on a board."""
STAND_IN = f"""
import sys
from pathlib import Path
from types import SimpleNamespace
sys.path[:0] = [{str(FOLDER.parent)!r}, "deploy"]
import driver
from tests.driver.fake_pynq import Board
model = driver.load_model(Path("deploy"))
program = driver.CppBackend(model)
size = (model.source.frame_bytes, model.sink.frame_bytes)
board = Board(lambda data: program.run(data)[0], *size, model.folder)
sys.modules["pynq"] = board.module()
rail = SimpleNamespace(power=SimpleNamespace(value=2.5))
sys.modules["pynq"].get_rails = lambda: {{"12V": rail, "no sensor": SimpleNamespace(power=None)}}
"""
"""A board with one power sensor of 2.5 W; its core is the C++."""
CLICKS = """
before = whole.children[1].value
fields[0].click()
assert drawing[0, 0] == (0 if examples[PICK].reshape(height, width)[0, 0] else white)
for field in fields[1:]:
    field.click()
assert whole.children[1].value != before and "</table>" in whole.children[1].value
grid, slider, clear = whole.children[0].children
clear.click()
assert not drawing.any() and fields[0].style.button_color == "rgb(255, 255, 255)"
slider.value = len(examples) - 1
assert (drawing == examples[-1].reshape(height, width)).all()
assert accelerator.predict(examples).tolist() == labels.tolist()
"""
"""What a visitor does to the canvas."""


def cells(name: str) -> list[Any]:
    """The cells of a notebook."""
    return list(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells)


def execute(name: str, folder: Path, before: str = "", *after: str) -> str:
    """Runs a notebook in `folder`, with cells before and after it; what it printed and showed.

    A failing cell is an error with its traceback.
    """
    book = new_notebook(cells=[new_code_cell(before), *cells(name), *map(new_code_cell, after)])
    folder.mkdir(exist_ok=True)
    place = {"metadata": {"path": folder}}
    NotebookClient(book, timeout=600, kernel_name="python3", resources=place).execute()
    return "\n".join(_texts(book))


def _texts(book: Any) -> Iterator[str]:
    for output in (output for cell in book.cells for output in cell.get("outputs", ())):
        if output.output_type == "stream":
            yield output.text
        data = output.get("data", {})
        yield from (data[kind] for kind in ("text/plain", "text/html") if kind in data)


@pytest.mark.parametrize("name", NAMES)
def test_is_committed_without_outputs(name: str) -> None:
    book = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert set(book["metadata"]["language_info"]) == {"name"}
    nbformat.validate(nbformat.from_dict(book))


@pytest.mark.parametrize("name", NAMES)
def test_says_first_what_it_needs(name: str) -> None:
    first = cells(name)[0]
    assert first.cell_type == "markdown"
    assert "**You need**" in first.source and "takes**" in first.source.lower()


@pytest.mark.parametrize("name", NAMES)
def test_uses_public_names_only(name: str) -> None:
    """Of bnn2fpga, what `__all__` names there, in `training` and in `driver`."""
    source = "\n".join(cell.source for cell in cells(name) if cell.cell_type == "code")
    tree = ast.parse(source)
    public = {"bnn2fpga": [*bnn2fpga.__all__, "__file__"], "bnn2fpga.training": training.__all__}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bnn2fpga":
            assert {alias.name for alias in node.names} <= set(public[node.module or ""])
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("bnn2fpga.") for alias in node.names)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "bnn2fpga":
            assert node.attr in public["bnn2fpga"]


def test_the_boards_notebook_takes_what_a_board_has() -> None:
    """In Python 3.8, too; on a PC build_one takes more."""
    source = "\n".join(cell.source for cell in cells(BOARD) if cell.cell_type == "code")
    tree = ast.parse(source, feature_version=(3, 8))
    on_pc = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build_one")
    tree.body.remove(on_pc)
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    assert ON_THE_BOARD >= modules >= {"numpy", "driver", "pynq"}


@pytest.mark.slow
def test_one_after_the_other(tmp_path: Path) -> None:
    """1 leaves what 2 looks at; its deployment folder alone is enough for 3."""
    shown = execute(TRAIN, tmp_path / "pc")
    assert "all scores equal: True" in shown and "08-deploy" in shown
    assert "RTL" in shown and "✗" not in shown
    found = "assert MODEL == trained and ladder.ok and not broken.ok"
    shown = execute(INSIDE, tmp_path / "pc", "", found)
    assert "first difference" in shown and "channel 20" in shown
    (deployed,) = (tmp_path / "pc" / "digits-build").glob("*-deploy")
    shutil.copytree(deployed, tmp_path / "board" / "copied")
    shown = execute(BOARD, tmp_path / "board", NOTHING_INSTALLED, CLICKS)
    assert "deployment folder: copied" in shown and "backend cpp" in shown
    assert "16 frames, equal to the bit" in shown and "no power to measure" in shown


@pytest.mark.slow
def test_your_own_model(tmp_path: Path) -> None:
    shown = execute(OWN, tmp_path)
    assert "all equal: True" in shown
    for text in ("Conv_1: float weights", "Add_0: joins Conv_1", "refused"):
        assert text in shown
    assert re.search(r"quantized\.onnx: \d+ kernels", shown)
    assert "labels as before" in shown and "did you mean 'pynq-z2'?" in shown


def deployment(folder: Path) -> Path:
    """The deployment folder of a small network with what stands for a bitstream, in `folder`."""
    pipeline = small_pipeline(folder)
    made = tuple(folder / f"{pipeline.folded.name}.{kind}" for kind in ("bit", "hwh"))
    for path in made:
        path.write_text("a stand-in")
    built = BuiltFiles("vivado", made, "dma")
    return deploy_pipeline(pipeline, random_frames(pipeline, 16), folder / "deploy", built)


@pytest.mark.slow
def test_on_a_stand_in_for_a_board(tmp_path: Path) -> None:
    """Through the driver's pynq backend, on pictures of another size; the energy by each of the ways."""
    deployment(tmp_path)
    energy = cells(BOARD)[-2].source
    shown = execute(
        BOARD,
        tmp_path,
        STAND_IN,
        CLICKS + "shown_alone()",
        f"RAIL = '12V'\n{energy}\nassert watts == 2.5",
        f"WATTS = 4.0\n{energy}",
        f"WATTS = None; sys.modules['pynq'].get_rails = dict\n{energy}",
    )
    assert "on backend pynq" in shown and "measured, with host" in shown
    assert "Set RAIL" in shown and "2.500 W now" in shown and "no sensor" not in shown
    assert "rail 12V" in shown and "2.5 W" in shown
    assert "as entered" in shown and "4 W" in shown and shown.count("energy a frame") == 2
    assert "pynq knows no power sensor of this board" in shown


@pytest.mark.long
@pytest.mark.parametrize("name", [INSIDE, BOARD])
def test_alone(name: str, tmp_path: Path) -> None:
    """In an empty folder, on the network that comes with bnn2fpga."""
    assert "equal" in execute(name, tmp_path)


@pytest.mark.long
def test_without_widgets(tmp_path: Path) -> None:
    """The example alone."""
    deployment(tmp_path)
    after = "assert widgets is None and (drawing == examples[PICK].reshape(height, width)).all()"
    assert "</table>" in execute(
        BOARD, tmp_path, f"{NOTHING_INSTALLED}; sys.modules['ipywidgets'] = None", after
    )

"""A bitstream that the real tools once wrote, read back by the chip's open data and simulated.

The data lies beside the checkout; the tools are not run here.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bnn2fpga.bitstream.database import Database
from bnn2fpga.bitstream.decode import decode
from bnn2fpga.bitstream.packets import ECC_WORD, FRAME_WORDS, SYNC, frame_codes
from bnn2fpga.boards.board import load_board
from bnn2fpga.build.ladder import Level
from bnn2fpga.build.prove import Made, rungs
from bnn2fpga.errors import BitstreamError, MismatchError, ToolError
from tests.bitstream.recorded import PART, design, unpack
from tests.kernels.designs import frames_for
from tests.networks.shared import shared_file

if TYPE_CHECKING:
    from tests.conftest import Run

Place = tuple[int, int, int]
"""The address of a frame, a word in it and a bit of that."""

SENSITIVE = ("CLBLL_L_X28Y137", "SLICEL_X0.DLUT.INIT", 8)
"""An entry of a table, on the way of the scores."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """prjxray's folder of the family."""
    archive = shared_file("xc7z020/zynq7-xc7z020.tar.xz")
    place = tmp_path_factory.mktemp("database")
    unread = ("timings/", "origin_info", "mask_")
    with tarfile.open(archive) as file:
        members = [
            member
            for member in file
            if member.name.startswith("prjxray-db/") and not any(part in member.name for part in unread)
        ]
        file.extractall(place, members, filter="data")
    return place / "prjxray-db/zynq7"


def climbed(made: Made, folder: Path) -> list[Level]:
    pipeline: Any = SimpleNamespace(folded=design(), board=load_board("pynq-z2"))
    return list(rungs(pipeline, frames_for(pipeline.folded, 3, 0), made, folder))


def flip(bitstream: Path, folder: Path, *places: Place, mend: bool = True) -> None:
    """Flips bits of a file; with `mend`, the codes of their frames are right again."""
    data = bytearray(bitstream.read_bytes())
    order = Database(folder, PART).part.frame_order()
    words = np.frombuffer(data[data.index(SYNC) + 4 :], ">u4")
    (start,) = np.flatnonzero(words == (2 << 29 | 2 << 27 | len(order) * FRAME_WORDS)) + 1
    at = data.index(SYNC) + 4 + 4 * int(start)
    for address, word, bit in places:
        first = at + 4 * FRAME_WORDS * order.index(address)
        frame = np.frombuffer(data[first : first + 4 * FRAME_WORDS], ">u4").astype(np.uint32)
        frame[word] ^= np.uint32(1 << bit)
        if mend:
            frame[ECC_WORD] = frame[ECC_WORD] & 0xFFFFE000 | frame_codes(frame[None])[0]
        data[first : first + 4 * FRAME_WORDS] = frame.astype(">u4").tobytes()
    bitstream.write_bytes(data)


def place_of(folder: Path, tile: str, feature: str, index: int = -1) -> list[Place]:
    """Where the bits of a feature lie."""
    database = Database(folder, PART)
    own = database.tiles[tile]
    area = next(area for area in own.areas if area.bus == "CLB_IO_CLK")
    for features in database.type(own.type).features["CLB_IO_CLK"].values():
        for one in features:
            if (one.name, one.index) == (feature, index):
                return [(area.base + frame, area.offset + bit // 32, bit % 32) for frame, bit in one.ones]
    raise LookupError(feature)


def test_the_netlist_of_a_bitstream(folder: Path, tmp_path: Path) -> None:
    netlist = decode(unpack(tmp_path).bitstream, PART, folder)
    assert netlist.ring() == () and len(netlist.block_memories) == 1
    assert len(netlist.flipflops) > 900 and len(netlist.table_memories) > 100
    (clock,) = {cell.clock for cell in netlist.flipflops}
    assert clock == netlist.inputs["SAXIHP0ACLK"] == netlist.outputs["FCLKCLK0"]


@pytest.mark.slow
def test_the_last_rungs_of_the_ladder(folder: Path, tmp_path: Path) -> None:
    """nextpnr's netlist and the bitstream, both from the real tools, equal numpy; with block RAM."""
    routed, bitstream = climbed(unpack(tmp_path), folder)
    assert (routed.name, routed.frames, routed.equal) == ("routed netlist", 3, 3)
    assert (bitstream.name, bitstream.frames, bitstream.equal) == ("bitstream", 3, 3)
    assert bitstream.reference == "numpy" and bitstream.compared == "integers"


def test_a_flipped_bit_is_found_by_the_code(folder: Path, tmp_path: Path) -> None:
    bitstream = unpack(tmp_path).bitstream
    flip(bitstream, folder, place_of(folder, *SENSITIVE)[0], mend=False)
    with pytest.raises(
        BitstreamError, match=r"dense.bit: frame [0-9a-f]{8} has a wrong error correction cod"
    ):
        decode(bitstream, PART, folder)


@pytest.mark.slow
def test_a_flipped_bit_is_found_by_the_comparison(folder: Path, tmp_path: Path) -> None:
    """One entry of one table, in a frame whose code is right again."""
    made = unpack(tmp_path)
    flip(made.bitstream, folder, *place_of(folder, *SENSITIVE))
    routed, bitstream = climbed(made, folder)
    assert routed.ok and not bitstream.ok and bitstream.difference is not None


@pytest.mark.long
def test_a_flipped_bit_is_found_by_the_processing_system(folder: Path, tmp_path: Path) -> None:
    """A burst goes to an address that it must not."""
    made = unpack(tmp_path)
    flip(made.bitstream, folder, *place_of(folder, "CLBLL_L_X20Y125", "SLICEL_X0.BLUT.INIT", 1))
    with pytest.raises(MismatchError, match=r"bitstream: dense_net: the model of a PS7 stops: address"):
        climbed(made, folder)


def _set(tile: str, feature: str, index: int = -1) -> Callable[[Path], list[Place]]:
    return lambda folder: place_of(folder, tile, feature, index)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (lambda folder: [(0, 0, 5)], r"dense.bit: no feature .* frame 00000000 word 0 bit 5 \(.*\)$"),
        (_set("LIOB33_X0Y1", "IOB_Y0.PULLTYPE.NONE"), "LIOB33_X0Y1: .* is set; it is not read back"),
    ],
    ids=["unknown", "pad"],
)
def test_what_is_not_understood_is_refused(
    places: Callable[[Path], list[Place]], message: str, folder: Path, tmp_path: Path
) -> None:
    bitstream = unpack(tmp_path).bitstream
    flip(bitstream, folder, *places(folder))
    with pytest.raises(BitstreamError, match=message):
        decode(bitstream, PART, folder)


def test_a_database_that_is_not_whole(folder: Path, tmp_path: Path) -> None:
    bitstream = unpack(tmp_path).bitstream
    with pytest.raises(ToolError, match=r"part.json: No such file or directory; it is part of prjxray-db"):
        decode(bitstream, "xc7z010clg400-1", folder)
    bare = tmp_path / "zynq7"
    for name in ("mapping", PART):
        (bare / name).mkdir(parents=True)
        for path in (folder / name).iterdir():
            (bare / name / path.name).write_bytes(path.read_bytes())
    with pytest.raises(
        ToolError, match=r"tilegrid.json: No such file or directory; it is part of prjxray-db"
    ):
        decode(bitstream, PART, bare)
    (bare / "mapping/parts.yaml").write_text("")
    with pytest.raises(ToolError, match=rf"parts.yaml: knows no device of {PART}; the database is of other"):
        decode(bitstream, PART, bare)


def test_from_the_command_line(folder: Path, tmp_path: Path, run: Run) -> None:
    made = unpack(tmp_path)
    output = tmp_path / "netlist.v"
    code, out, err = run("decode", made.bitstream, "--database", folder, "-o", output)
    assert (code, err) == (0, "") and "1 block RAM of 18 Kbit" in out
    text = output.read_text()
    assert "module zynq_top;" in text and "    PS7 ps7 (" in text and ".SAXIHP0ACLK(" in text
    code, _, err = run("decode", made.bitstream, "--database", tmp_path)
    assert code == 3 and err.startswith("error: ") and err.count("\n") == 1

"""What PYNQ's own code makes of a bitstream; run by a Python that has pynq, as JSON.

read_as_pynq.py header FILE.bit            the header, and what goes to the chip
read_as_pynq.py overlay FILE.bit DRIVER    the overlay, from the .hwh beside it, and DRIVER's engine on it
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from pynq import Device, Overlay
from pynq.lib.dma import DMA
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynq.pl_server.embedded_device import BitfileHandler, parse_bit_header
from pynqmetadata.frontends import Metadata


class Board(Device):
    """A device of PYNQ whose registers are an array; nothing is loaded."""

    def __init__(self) -> None:
        super().__init__("board")
        self.capabilities = {"MEMORY_MAPPED": True}
        self.mapped: dict[int, Any] = {}

    def mmap(self, base_addr: int, length: int) -> Any:
        return self.mapped.setdefault(base_addr, np.zeros(length // 4, np.uint32))

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """As PYNQ's EmbeddedDevice does it, without the tool xclbinutil, which the board has."""
        return RuntimeMetadataParser(Metadata(input=str(Path(bitfile_name).with_suffix(".hwh"))))


def header(bit: Path) -> dict[str, Any]:
    found = parse_bit_header(bit.read_bytes())
    data = BitfileHandler(bit).get_bin_data()
    # without a .hwh PYNQ loads the bitstream all the same
    parser = BitfileHandler(bit).get_parser()
    return {**found, "data": found["data"].hex(), "loaded": data.hex(), "parser": parser}


def overlay(bit: Path, driver: Any) -> dict[str, Any]:
    board = Board()
    loaded = Overlay(str(bit), download=False, device=board)
    try:
        engine = driver.DmaEngine(SimpleNamespace(Overlay=lambda name: loaded), str(bit))
    except driver.AcceleratorError as error:
        return {"error": str(error)}
    assert isinstance(engine._dma, DMA) and loaded.is_loaded()
    dma = loaded.ip_dict["dma"]
    registers = board.mapped[dma["phys_addr"]]
    return {
        "type": dma["type"],
        "address": dma["phys_addr"],
        "span": dma["addr_range"],
        "processor": loaded.parser.family_ps,
        "clocks": loaded.clock_dict,
        "most_bytes": engine.most_bytes,
        "started": [int(registers[offset // 4]) for offset in (0x00, 0x30)],
        "aligned": [engine._send._align, engine._receive._align],
    }


def imported(driver: Path) -> Any:
    """The one file of our driver."""
    spec: Any = importlib.util.spec_from_file_location("driver", driver)
    module = sys.modules["driver"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(what: str, *files: str) -> list[dict[str, Any]]:
    if what == "header":
        return [header(Path(bit)) for bit in files]
    driver = imported(Path(files[0]))
    return [overlay(Path(bit), driver) for bit in files[1:]]


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))

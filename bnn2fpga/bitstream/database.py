"""prjxray's database of a chip: its tiles, the wires and sites in them, and what each bit means."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bnn2fpga.bitstream.part import Part
from bnn2fpga.errors import ToolError

BUSES = {"CLB_IO_CLK": "", "BLOCK_RAM": ".block_ram"}
"""The kinds of frames, and what the tables of their bits have in their names."""
Bit = tuple[int, int]
"""A frame of a tile, and a bit of the tile's words in it."""
_VECTOR = re.compile(r"(.+)\[(\d+)\]")


@dataclass(frozen=True)
class Feature:
    """What it means that all bits `ones` are 1 and all bits `zeros` are 0.

    A feature is a connection from wire `source` to wire `target`, or bit `index` of the vector `name`, or
    `name` alone.
    """

    name: str
    ones: tuple[Bit, ...]
    zeros: tuple[Bit, ...]
    target: str = ""
    source: str = ""
    index: int = -1


@dataclass(frozen=True)
class Pin:
    """A pin of a site: the site's name within its tile (`SLICEM_X0`, `BUFGCTRL_X0Y3`), and the pin's."""

    site: str
    name: str
    output: bool


@dataclass(frozen=True, eq=False)
class TileType:
    """What all tiles of a type have in common.

    `always` are connections without a bit, `otherwise` those that a wire has where no other is made: the
    sources of each wire. `pins` are those of the sites, by wire; `sites` their wires, by site and pin.
    """

    pins: dict[str, Pin]
    sites: dict[str, dict[str, str]]
    always: dict[str, tuple[str, ...]]
    otherwise: dict[str, str]
    features: dict[str, dict[Bit, tuple[Feature, ...]]] = field(repr=False)
    """For each kind of frames the features by the first bit that is 1."""


@dataclass(frozen=True)
class Area:
    """The bits of a tile on one kind of frames: `words` words from `offset` on, of `frames` frames."""

    bus: str
    base: int
    frames: int
    offset: int
    words: int


@dataclass(frozen=True)
class Tile:
    """A tile of the chip at column `x` and line `y`."""

    name: str
    type: str
    x: int
    y: int
    areas: tuple[Area, ...]


class Database:
    """The database of the chip `part` in prjxray's folder of its family; a ToolError says what it lacks."""

    def __init__(self, folder: Path, part: str) -> None:
        self.folder = folder
        self.part = Part.read(folder, part)
        self._fabric = folder / _fabric(folder, part)
        self._types: dict[str, TileType] = {}

    @cached_property
    def tiles(self) -> dict[str, Tile]:
        """All tiles by name."""
        grid = self._read(self._fabric / "tilegrid.json")
        return {
            name: Tile(name, facts["type"], facts["grid_x"], facts["grid_y"], tuple(_areas(facts["bits"])))
            for name, facts in grid.items()
        }

    @cached_property
    def at(self) -> dict[tuple[int, int], Tile]:
        """All tiles by column and line."""
        return {(tile.x, tile.y): tile for tile in self.tiles.values()}

    @cached_property
    def neighbours(self) -> dict[str, dict[str, tuple[tuple[int, int, str, str], ...]]]:
        """For each type of tile and each wire what it joins: columns, lines away, type of tile and wire."""
        joined: dict[str, dict[str, list[tuple[int, int, str, str]]]] = defaultdict(lambda: defaultdict(list))
        for entry in self._read(self._fabric / "tileconn.json"):
            (dx, dy), (one, other) = entry["grid_deltas"], entry["tile_types"]
            for wire, far in entry["wire_pairs"]:
                joined[one][wire].append((dx, dy, other, far))
                joined[other][far].append((-dx, -dy, one, wire))
        return {kind: {wire: tuple(far) for wire, far in wires.items()} for kind, wires in joined.items()}

    def type(self, name: str) -> TileType:
        """The tile type of this name, read once."""
        if name not in self._types:
            self._types[name] = self._read_type(name)
        return self._types[name]

    def _read_type(self, name: str) -> TileType:
        facts = self._read(self.folder / f"tile_type_{name}.json")
        pips = {(pip["dst_wire"], pip["src_wire"]) for pip in facts["pips"].values()}
        pips |= {
            (pip["src_wire"], pip["dst_wire"])
            for pip in facts["pips"].values()
            if pip["is_directional"] == "0"
        }
        pins: dict[str, Pin] = {}
        sites: dict[str, dict[str, str]] = {}
        for site in facts["sites"]:
            own = _site_name(site)
            directions = self._directions(site["type"])
            if own.startswith("RAMB36"):
                continue  # the same hardware as the two of 18 Kbit, which have pins of their own
            sites[own] = {}
            for pin, to in site["site_pins"].items():
                if to:
                    wire = _wire(to)
                    # a FIFO is a block RAM whose pins have other names; those of its wires are the same
                    known = wire.split("_", 2)[2] if own.startswith("RAMB18") else pin
                    sites[own][known] = wire
                    pins[wire] = Pin(own, known, directions[pin])
        always: dict[str, tuple[str, ...]] = {}
        otherwise: dict[str, str] = {}
        for pip, kind in self._pairs(f"ppips_{name.lower()}.db"):
            target, source = pip.split(".")[1:]
            through = target in pins and source in pins and pins[target].site == pins[source].site
            if through or "FIFO36" in source:
                continue  # what goes through a site is for the site to say
            if kind[0] == "always":
                always[target] = (*always.get(target, ()), source)
            elif kind[0] == "default":
                otherwise[target] = source
        features: dict[str, dict[Bit, tuple[Feature, ...]]] = {}
        for bus, suffix in BUSES.items():
            found: dict[Bit, list[Feature]] = defaultdict(list)
            for feature in self._features(f"segbits_{name.lower()}{suffix}.db", pips):
                if feature.ones:
                    found[feature.ones[0]].append(feature)
                elif feature.target:
                    otherwise[feature.target] = feature.source
            features[bus] = {bit: tuple(all_of) for bit, all_of in found.items()}
        return TileType(pins, sites, always, otherwise, features)

    def _features(self, name: str, pips: set[tuple[str, str]]) -> Iterator[Feature]:
        for full, bits in self._pairs(name):
            own = full.split(".", 1)[1]
            ones = tuple(_bit(bit) for bit in bits if not bit.startswith("!"))
            zeros = tuple(_bit(bit[1:]) for bit in bits if bit.startswith("!"))
            target, _, source = own.partition(".")
            vector = _VECTOR.fullmatch(own)
            if (target, source) in pips:
                yield Feature(own, ones, zeros, target, source)
            elif vector:
                yield Feature(vector.group(1), ones, zeros, index=int(vector.group(2)))
            else:
                yield Feature(own, ones, zeros)

    def _directions(self, site: str) -> dict[str, bool]:
        """Whether each pin of a type of site is an output."""
        facts = self._read(self.folder / f"site_type_{site}.json")
        return {pin: about["direction"] == "OUT" for pin, about in facts["site_pins"].items()}

    def _pairs(self, name: str) -> Iterator[tuple[str, list[str]]]:
        """The lines of a table of text: a name and what follows it. Not every type of tile has each table."""
        path = self.folder / name
        if path.is_file():
            for line in path.read_text().splitlines():
                own, *rest = line.split()
                if rest and rest[0] != "<const0>":
                    yield own, rest

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text())
        except OSError as error:
            raise ToolError(f"{path}: {error.strerror or error}; it is part of prjxray-db") from error
        except ValueError as error:
            raise ToolError(f"{path}: is not JSON ({error}); get prjxray-db again") from error


def _fabric(folder: Path, part: str) -> str:
    """The name of the chip's own folder, by the mapping of parts to devices and of these to fabrics."""
    device = _mapped(folder / "mapping/parts.yaml", part, "device")
    return _mapped(folder / "mapping/devices.yaml", device, "fabric")


def _mapped(path: Path, name: str, field_name: str) -> str:
    """One field of one entry of a mapping, which is two levels of YAML and no more."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror or error}; it is part of prjxray-db") from error
    entry = re.search(rf'^"?{re.escape(name)}"?:\n((?:[ \t]+.*\n?)*)', text, re.MULTILINE)
    value = re.search(rf'^\s+{field_name}:\s*"?([^"\s]+)', entry.group(1), re.MULTILINE) if entry else None
    if value is None:
        raise ToolError(f"{path}: knows no {field_name} of {name}; the database is of other chips")
    return value.group(1)


def _site_name(site: dict[str, Any]) -> str:
    """As features name it: slices by type and column, others by their prefix and both coordinates."""
    if site["type"].startswith("SLICE"):
        return f"{site['type']}_X{site['x_coord']}"
    if site["prefix"] == "RAMB18":
        return f"RAMB18_Y{site['y_coord']}"
    return f"{site['prefix']}_X{site['x_coord']}Y{site['y_coord']}"


def _wire(to: Any) -> str:
    return to["wire"] if isinstance(to, dict) else to


def _bit(text: str) -> Bit:
    frame, bit = text.split("_")
    return int(frame), int(bit)


def _areas(bits: dict[str, Any]) -> Iterator[Area]:
    for bus, facts in bits.items():
        if bus in BUSES:
            base = int(facts["baseaddr"], 16)
            yield Area(bus, base, facts["frames"], facts["offset"], facts["words"])

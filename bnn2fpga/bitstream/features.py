"""From frames to features: what the bits of each tile say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bnn2fpga.bitstream.database import Area, Bit, Database, Feature, Tile
from bnn2fpga.bitstream.packets import ECC_MASK, ECC_WORD, Frames
from bnn2fpga.errors import BitstreamError

SHOWN = 4
"""Bits that an error names."""


@dataclass
class Configuration:
    """What the bits of a tile say: connections (sources of each wire), values of vectors, other features."""

    sources: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    set: set[str] = field(default_factory=set)


def read_features(frames: Frames, database: Database, name: str) -> dict[str, Configuration]:
    """The configuration of every tile that has one.

    Every bit must be explained: a BitstreamError, which starts with `name`, tells those that no feature of
    any tile has.
    """
    bits = np.unpackbits(frames.words.astype("<u4").view(np.uint8), axis=1, bitorder="little")
    index = {int(address): place for place, address in enumerate(frames.addresses)}
    explained = np.zeros(bits.shape, bool)
    found: dict[str, Configuration] = {}
    for tile in database.tiles.values():
        for area in tile.areas:
            start = index.get(area.base)
            if start is None:
                raise BitstreamError(f"{tile.name}: {database.part.name} has no frame {area.base:08x}")
            columns = slice(32 * area.offset, 32 * (area.offset + area.words))
            rows = slice(start, start + area.frames)
            own = bits[rows, columns]
            if own.any():
                said = _said(own, area, tile, database)
                if said:
                    _keep(said, found.setdefault(tile.name, Configuration()))
                    _mark(said, explained[rows, columns])
    codes = (np.uint32(ECC_MASK) >> np.arange(32, dtype=np.uint32)) & 1 == 1
    explained[:, 32 * ECC_WORD : 32 * (ECC_WORD + 1)] |= codes
    _refuse_unknown(bits.astype(bool) & ~explained, frames, database, name)
    return found


def _said(bits: npt.NDArray[np.uint8], area: Area, tile: Tile, database: Database) -> list[Feature]:
    """The features whose bits are as they must be."""
    features = database.type(tile.type).features[area.bus]
    ones: set[Bit] = set(zip(*(axis.tolist() for axis in np.nonzero(bits)), strict=True))
    return [
        feature
        for bit in ones
        for feature in features.get(bit, ())
        if (len(feature.ones) == 1 or ones.issuperset(feature.ones)) and ones.isdisjoint(feature.zeros)
    ]


def _keep(said: list[Feature], into: Configuration) -> None:
    for feature in said:
        if feature.target:
            into.sources.setdefault(feature.target, []).append(feature.source)
        elif feature.index >= 0:
            into.values[feature.name] |= 1 << feature.index
        else:
            into.set.add(feature.name)


def _mark(said: list[Feature], explained: npt.NDArray[np.bool_]) -> None:
    places = [bit for feature in said for bit in feature.ones]
    rows, columns = zip(*places, strict=True)
    explained[rows, columns] = True


def _refuse_unknown(unknown: npt.NDArray[np.bool_], frames: Frames, database: Database, name: str) -> None:
    places = np.argwhere(unknown)
    if not len(places):
        return
    shown = []
    for row, column in places[:SHOWN].tolist():
        address, (word, bit) = int(frames.addresses[row]), divmod(column, 32)
        tiles = [tile.name for tile in database.tiles.values() if _covers(tile, address, word)]
        where = " and ".join(tiles) or "no tile"
        shown.append(f"frame {address:08x} word {word} bit {bit} ({where})")
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    raise BitstreamError(f"{name}: no feature of the chip's data has {', '.join(shown)}{more}")


def _covers(tile: Tile, address: int, word: int) -> bool:
    return any(
        area.base <= address < area.base + area.frames and area.offset <= word < area.offset + area.words
        for area in tile.areas
    )

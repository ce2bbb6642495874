"""Which pin drives a wire: follows the nodes of the chip and the connections that the bits make."""

from __future__ import annotations

from dataclasses import dataclass

from bnn2fpga.bitstream.database import Database, Pin, Tile
from bnn2fpga.bitstream.features import Configuration
from bnn2fpga.errors import BitstreamError

NONE = Configuration()


@dataclass(frozen=True)
class Driver:
    """An output pin of a site in a tile."""

    tile: Tile
    pin: Pin


class Wiring:
    """The chip with the connections of a bitstream."""

    def __init__(self, database: Database, configurations: dict[str, Configuration]) -> None:
        self.database = database
        self.configurations = configurations
        self._drivers: dict[tuple[str, str], Driver | None] = {}

    def of(self, tile: Tile) -> Configuration:
        """What the bits of a tile say."""
        return self.configurations.get(tile.name, NONE)

    def driver(self, tile: Tile, wire: str) -> Driver | None:
        """The pin that drives `wire`, or None where nothing does.

        Raises a BitstreamError for two drivers and for a ring.
        """
        passed: list[tuple[str, str]] = []
        found: Driver | None = None
        seen = set()
        while True:
            key = (tile.name, wire)
            if key in self._drivers:
                found = self._drivers[key]
                break
            if key in seen:
                raise BitstreamError(f"{tile.name}.{wire}: is connected in a ring without a driver")
            seen.add(key)
            passed.append(key)
            drivers, sources = self._behind(tile, wire)
            if len(drivers) + len(sources) > 1:
                raise BitstreamError(f"{tile.name}.{wire}: has two drivers, {_named(drivers, sources)}")
            if drivers:
                found = drivers[0]
                break
            if not sources:
                break
            tile, wire = sources[0]
        for key in passed:
            self._drivers[key] = found
        return found

    def _behind(self, tile: Tile, wire: str) -> tuple[list[Driver], list[tuple[Tile, str]]]:
        """The output pins on a node, and the wires that are connected to it from behind."""
        drivers: list[Driver] = []
        sources: list[tuple[Tile, str]] = []
        otherwise: list[tuple[Tile, str]] = []
        for own, name in self._node(tile, wire):
            kind = self.database.type(own.type)
            pin = kind.pins.get(name)
            if pin and pin.output:
                drivers.append(Driver(own, pin))
            made = (*self.of(own).sources.get(name, ()), *kind.always.get(name, ()))
            sources += ((own, source) for source in made)
            if name in kind.otherwise:
                otherwise.append((own, kind.otherwise[name]))
        return drivers, sources or ([] if drivers else otherwise)

    def _node(self, tile: Tile, wire: str) -> list[tuple[Tile, str]]:
        """All wires, in all tiles, that are one piece of metal with this one."""
        found = [(tile, wire)]
        seen = {(tile.x, tile.y, wire)}
        for own, name in found:
            for dx, dy, kind, far in self.database.neighbours.get(own.type, {}).get(name, ()):
                place = (own.x + dx, own.y + dy, far)
                other = self.database.at.get(place[:2])
                if other is not None and other.type == kind and place not in seen:
                    seen.add(place)
                    found.append((other, far))
        return found


def _named(drivers: list[Driver], sources: list[tuple[Tile, str]]) -> str:
    names = [f"{driver.tile.name}.{driver.pin.site}.{driver.pin.name}" for driver in drivers]
    return " and ".join([*names, *(f"{tile.name}.{wire}" for tile, wire in sources)])

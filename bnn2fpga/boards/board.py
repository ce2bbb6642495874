"""A board is one TOML file: what the part holds, which clocks it can make, how wide its memory port is."""

import difflib
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bnn2fpga.errors import ConfigError
from bnn2fpga.files.package_data import data_folder
from bnn2fpga.files.settings import read_toml

USABLE = 0.8
"""Share of a chip's LUTs and block RAM that is planned with; place and route needs the rest."""

DIVISORS = range(5, 51)
"""Of a PLL; two counters of 6 bits make every one of them."""

_Property = Annotated[str, Field(pattern=r"^(PCW|PSU)_\w+$")]
_Setting = Annotated[str, Field(pattern=r"^[\w .()-]+$")]
_Megahertz = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Board(BaseModel):
    """The facts of a board that folding, timing and the generated scripts depend on."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: Annotated[str, Field(min_length=1)]
    part: Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9-]*$")]
    luts: Annotated[int, Field(gt=0)]
    lutram_luts: Annotated[int, Field(ge=0)]
    """How many of the LUTs can also be memory or shift registers."""
    flipflops: Annotated[int, Field(gt=0)]
    bram36: Annotated[int, Field(gt=0)]
    """Block RAMs of 36 Kbit; each can be used as two of 18 Kbit."""
    dsps: Annotated[int, Field(ge=0)]
    clocks_mhz: Annotated[tuple[_Megahertz, ...], Strict(False), Field(min_length=1)]
    """Every frequency that the processor can give the fabric, rising; computed where `pll_mhz` is given."""
    pll_mhz: _Megahertz | None = None
    """The PLL that the processor divides by an integer for the fabric's clock; DIVISORS are used."""
    default_clock_mhz: _Megahertz
    hp_port_bits: Literal[32, 64, 128]
    """Data width of one memory port between fabric and DRAM."""
    urams: Annotated[int, Field(ge=0)] = 0
    """UltraRAMs of 288 Kbit; kernels do not use them yet."""
    preset: dict[_Property, _Setting] = {}
    """Properties of the processing system's IP that the board fixes (crystal, DRAM, voltages), by name.

    Vivado's block design sets them, since it has no board files. Where a boot loader sets up the processor,
    as under PYNQ, only those of clocks and ports matter.
    """
    sources: Annotated[tuple[str, ...], Strict(False)] = ()
    """Where the numbers come from."""

    def __hash__(self) -> int:
        """Of a part only, as presets are no hashable values; equal boards have equal names and parts."""
        return hash((self.name, self.part))

    @model_validator(mode="before")
    @classmethod
    def _clocks_follow_from_the_pll(cls, facts: Any) -> Any:
        if not isinstance(facts, dict) or "clocks_mhz" in facts:
            return facts
        pll: Any = facts.get("pll_mhz")
        known = isinstance(pll, int | float) and 0 < pll < float("inf")
        return facts | {"clocks_mhz": _divided(pll)} if known else facts

    @field_validator("lutram_luts")
    @classmethod
    def _lutram_is_a_part_of_the_luts(cls, lutram_luts: int, info: ValidationInfo) -> int:
        luts = info.data.get("luts", lutram_luts)
        if lutram_luts > luts:
            raise ValueError(f"{lutram_luts} is more than the {luts} luts it is a part of")
        return lutram_luts

    @field_validator("clocks_mhz")
    @classmethod
    def _clocks_rise(cls, clocks: tuple[float, ...]) -> tuple[float, ...]:
        if list(clocks) != sorted(set(clocks)):
            raise ValueError(f"must rise, not {_listing(clocks)}")
        return clocks

    @field_validator("default_clock_mhz")
    @classmethod
    def _default_clock_is_legal(cls, clock: float, info: ValidationInfo) -> float:
        clocks = info.data.get("clocks_mhz", (clock,))
        if clock not in clocks:
            raise ValueError(f"{clock:g} is not one of clocks_mhz: {_listing(clocks)}")
        return clock

    @property
    def family(self) -> Literal["zynq7000", "zynqmp"] | None:
        """Whose processing system the part has; None if it has none that is known here."""
        if self.part.startswith("xc7z"):
            return "zynq7000"
        return "zynqmp" if self.part.startswith(("xczu", "xck26", "xck24")) else None

    def clock(self, wanted_mhz: float | None = None) -> float:
        """The legal clock within 1 % of the wanted one (142 gives 142.857), the default for None."""
        if wanted_mhz is None:
            return self.default_clock_mhz
        nearest = min(self.clocks_mhz, key=lambda legal: abs(legal - wanted_mhz))
        if abs(nearest - wanted_mhz) <= 0.01 * nearest:
            return nearest
        legal = _listing(self.clocks_mhz)
        if self.pll_mhz and self.clocks_mhz == _divided(self.pll_mhz):
            around = [clock for clock in self.clocks_mhz if clock < wanted_mhz][-1:]
            around += [clock for clock in self.clocks_mhz if clock > wanted_mhz][:1]
            near = f" (near it: {_listing(tuple(around))})" if around else ""
            legal = f"{self.pll_mhz:g} MHz over an integer, {DIVISORS[0]} to {DIVISORS[-1]}{near}"
        raise ConfigError(f"board {self.name} cannot make a clock of {wanted_mhz:g} MHz; legal: {legal}")


def board_names() -> tuple[str, ...]:
    """The boards that come with the package, sorted."""
    return tuple(sorted(path.stem for path in data_folder("boards").glob("*.toml")))


def load_board(name: str | Path) -> Board:
    """A shipped board by its name, or any board from the path of its .toml file."""
    path = Path(name)
    if isinstance(name, Path) or path.suffix == ".toml" or path.name != name:
        return _read_board(path)
    known = board_names()
    if name not in known:
        raise ConfigError(
            f"unknown board {name!r}; known: {', '.join(known)} (or the path of a .toml file)"
            + _hint(name, known)
        )
    return _read_board(data_folder("boards") / f"{name}.toml")


def _read_board(path: Path) -> Board:
    try:
        return Board.model_validate(read_toml(path))
    except ConfigError as problem:
        raise ConfigError(f"board file {problem}") from problem
    except ValidationError as problem:
        faults = "; ".join(_fault(dict(error)) for error in problem.errors())
        raise ConfigError(f"board file {path}: {' '.join(faults.split())}") from problem


def _fault(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{where}: is missing"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown field{_hint(where, tuple(Board.model_fields))}"
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}"
    message: str = error["msg"]
    return f"{where}: {message[0].lower()}{message[1:]}, not {reprlib.repr(error['input'])}"


def _divided(pll_mhz: float) -> tuple[float, ...]:
    """The clocks that integers make of a PLL, rising."""
    return tuple(round(pll_mhz / divisor, 6) for divisor in reversed(DIVISORS))


def _hint(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word.lower(), known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _listing(clocks: tuple[float, ...]) -> str:
    return ", ".join(f"{clock:g}" for clock in clocks)

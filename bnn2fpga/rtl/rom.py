"""Constant tables: one memory file each, which simulation and synthesis share; deep ones may be cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnn2fpga.area import LUT_DEPTH, Parts, Store, in_logic
from bnn2fpga.codegen import render
from bnn2fpga.ir import Ints, IntType
from bnn2fpga.steps import Steps

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Rom:
    """`words` of `width` bits; the first one at address 0. `store` says what they lie in."""

    width: int
    words: tuple[int, ...]
    store: Store = "auto"

    @classmethod
    def of_bits(cls, bits: Bits, store: Store = "auto") -> Rom:
        """From single bits (depth, width), bit 0 of a word first."""
        packed = np.packbits(bits, axis=-1, bitorder="little")
        return cls(bits.shape[1], tuple(int.from_bytes(word.tobytes(), "little") for word in packed), store)

    @property
    def depth(self) -> int:
        """Number of words."""
        return len(self.words)

    @property
    def style(self) -> str:
        """The ram_style attribute: the kind of memory that synthesis takes."""
        return "logic" if in_logic(self.store, self.depth, self.width) else "block"

    @property
    def paged(self) -> bool:
        """Whether it lies in so many LUTs a bit that its module is one of its own."""
        return self.style == "logic" and self.depth > LUT_DEPTH

    @property
    def pages(self) -> list[list[int]]:
        """Of every LUT_DEPTH words, as far as these are full, what the LUT of each bit holds."""
        size = (self.width + 7) // 8
        packed = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in self.words), np.uint8)
        bits = np.unpackbits(packed.reshape(self.depth, size), axis=1, count=self.width, bitorder="little")
        full = bits[: self.depth // LUT_DEPTH * LUT_DEPTH].reshape(-1, LUT_DEPTH, self.width)
        columns = np.packbits(full.transpose(0, 2, 1), axis=-1, bitorder="little")
        pages: list[list[int]] = np.ascontiguousarray(columns).view("<u8")[..., 0].tolist()
        return pages

    @property
    def rest(self) -> tuple[int, ...]:
        """The words behind the full pages."""
        return self.words[self.depth // LUT_DEPTH * LUT_DEPTH :]

    def render(self, name: str, primitives: bool) -> str:
        """Its module, NAME_, where it is `paged`: of 7-series cells, or one that reads NAME.mem."""
        return render("rtl/rom.sv.j2", name=name, rom=self, primitives=primitives)

    @property
    def text(self) -> str:
        """For $readmemh: a word a line in hexadecimal."""
        digits = (self.width + 3) // 4
        return "".join(f"{word:0{digits}x}\n" for word in self.words)


def field_bits(values: Ints, width: int) -> Bits:
    """The lowest `width` bits of every value, two's complement: (…, width), bit 0 first."""
    return ((values[..., None].astype(np.int64) >> np.arange(width)) & 1).astype(np.uint8)


def type_bits(values: Ints, kind: IntType) -> Bits:
    """Values of `kind` as a stream carries them: (…, kind.bits), bit 0 first."""
    return field_bits((values + 1) // 2 if kind.bipolar else values, kind.bits)


def lanes_rom(lanes: int, *fields: Bits) -> Rom:
    """Fields (channels, …, bits) of each channel behind one another, `lanes` channels a word."""
    together = np.concatenate([field.reshape(len(field), -1) for field in fields], axis=1)
    return Rom.of_bits(together.reshape(len(together) // lanes, -1))


def threshold_type(source: IntType) -> IntType:
    """Of thresholds for numbers of type `source`: one that is never reached lies just above them."""
    return IntType.holding(source.low, source.high + 1)


@dataclass(frozen=True, eq=False)
class StepTable:
    """Step functions of numbers of type `source`, as a memory keeps and the macro `activate` reads them."""

    steps: Steps
    source: IntType

    @property
    def threshold_type(self) -> IntType:
        """Of the thresholds."""
        return threshold_type(self.source)

    def parts(self, lanes: int, folds: int) -> Parts:
        """What compares with the thresholds and adds up levels; every lane has a channel a fold."""
        fixed = "constant " if folds == 1 else ""
        steps = self.steps
        # what fills up a lane's channels is nothing
        used = int(steps.signs.reshape(folds, lanes, steps.count).any(axis=0).sum())
        added = max(0, used - lanes)
        levels = {"levels": added} if steps.rising else {"signed levels": added * steps.output.bits}
        return {
            f"{fixed}thresholds": used * self.source.bits,
            **{f"{fixed}{name}": count for name, count in levels.items()},
        }

    @property
    def width(self) -> int:
        """Bits of one channel."""
        return self.bits.shape[1]

    @property
    def bits(self) -> Bits:
        """A channel's base level, its thresholds and, unless all steps rise, its signs: (channels, width).

        Levels and signs have the output's bits and are added up modulo 2^bits. The low end of the output
        type is in the base.
        """
        steps, width = self.steps, self.steps.output.bits
        base = steps.base + (0 if steps.output.bipolar else steps.output.low)
        thresholds = np.clip(steps.thresholds, self.source.low, self.source.high + 1)
        fields = [field_bits(base, width), field_bits(thresholds, self.threshold_type.bits)]
        if not steps.rising:
            fields.append(field_bits(steps.signs, width))
        return np.concatenate([field.reshape(steps.channels, -1) for field in fields], axis=1)

"""A product of two streams: attention's scores, and its weights times its values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, ram
from bnn2fpga.circuits.plane_products import PlaneProducts
from bnn2fpga.circuits.popcount import Popcount
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import WIDEST_BEAT, check_folding, divisors
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern
from bnn2fpga.design.layers import Layer, Product, partial_sum_type
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.kernels.bases.weight_planes import plane_products, weight_type

MOST_BITS = 4
"""Of a number of either stream."""


@dataclass(frozen=True)
class StreamProduct(Kernel):
    """Each row of one stream times a matrix that another one brings, in windows and heads of their own.

    Stream 1 comes first, all of a window, and is kept; then stream 0 passes, `rows` rows a window, of
    `inner` numbers a head. With `transposed` the kept rows are (columns, heads * inner), as keys are, and
    otherwise (inner, heads * columns), as values are. `pe` columns and `simd` of the inner numbers are
    computed in each cycle. The FIFO in front of stream 1 holds the next window meanwhile, so it is the
    second bank. Of two bipolar streams the result is the popcount of equal bits.
    """

    windows: int
    rows: int
    heads: int
    inner: int
    columns: int
    source_type: IntType
    kept_type: IntType
    transposed: bool
    pe: int = 1
    simd: int = 1

    summary = f"product of two streams of 1 to {MOST_BITS} bits: attention's scores, and weights times values"
    template = "stream_product"
    folding_fields = ("pe", "simd")

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Product):
            return None
        (windows, rows, width), (_, tokens, kept) = layer.source.shape, layer.other.shape
        inner = width // layer.heads
        columns = tokens if layer.transposed else kept // layer.heads
        matching = kept == width if layer.transposed else tokens == inner
        if width % layer.heads or kept % layer.heads or not matching or layer.other.shape[0] != windows:
            raise FoldingError(
                f"{layer.source.shape} times {layer.other.shape} in {layer.heads} heads: the inner numbers "
                "differ"
            )
        types = layer.source.type, layer.other.type
        return cls(windows, rows, layer.heads, inner, columns, *types, layer.transposed)

    def __post_init__(self) -> None:
        check_folding("pe", self.pe, self.columns, "columns")
        check_folding("simd", self.simd, self.inner, "inner numbers")
        for kind in (self.source_type, self.kept_type):
            if kind.bits > MOST_BITS:
                raise FoldingError(f"a product of streams of {kind}; legal: 1 to {MOST_BITS} bits each")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        source = Stream((self.windows, self.rows, self.heads * self.inner), self.source_type, self.simd)
        if self.transposed:
            shape, lanes = (self.windows, self.columns, self.heads * self.inner), self.simd
        else:
            shape, lanes = (self.windows, self.inner, self.heads * self.columns), self.pe
        return (source, Stream(shape, self.kept_type, lanes))

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((self.windows, self.rows, self.heads * self.columns), self.output_type, self.pe),)

    @property
    def counts(self) -> bool:
        """Whether the result is a popcount."""
        return self.source_type.bipolar and self.kept_type.bipolar

    @property
    def affine(self) -> tuple[int, int]:
        """(a, b) such that the dot product is a * result + b."""
        return (2, -self.inner) if self.counts else (1, 0)

    @property
    def result_range(self) -> tuple[int, int]:
        """The smallest and the largest result."""
        if self.counts:
            return 0, self.inner
        ends = [
            one * other
            for one in (self.source_type.low, self.source_type.high)
            for other in (self.kept_type.low, self.kept_type.high)
        ]
        return self.inner * min(ends), self.inner * max(ends)

    @property
    def output_type(self) -> IntType:
        """Holds every result, and every sum on the way to it."""
        return partial_sum_type(*self.result_range)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        source, kept = (array.astype(np.float32) for array in arrays)
        source = source.reshape(-1, self.windows, self.rows, self.heads, self.inner)
        if self.transposed:
            kept = kept.reshape(-1, self.windows, self.columns, self.heads, self.inner)
            matrix = kept.transpose(0, 1, 3, 4, 2)
        else:
            kept = kept.reshape(-1, self.windows, self.inner, self.heads, self.columns)
            matrix = kept.transpose(0, 1, 3, 2, 4)
        # 4-bit numbers, so every sum is an integer that float32 holds
        sums = (source.transpose(0, 1, 3, 2, 4) @ matrix).transpose(0, 1, 3, 2, 4)
        scale, offset = self.affine
        results = (sums.astype(np.int64) - offset) // scale
        return (results.reshape(-1, *self.outputs[0].shape).astype(self.output_type.dtype),)

    @property
    def row_folds(self) -> int:
        """Passes over one row of stream 0."""
        return self.columns // self.pe

    @property
    def column_folds(self) -> int:
        """Beats of one row of stream 0, in one head."""
        return self.inner // self.simd

    @property
    def tiles(self) -> int:
        """Clocks of a row in one head."""
        return self.row_folds * self.column_folds

    @property
    def words(self) -> int:
        """Words of each memory of the kept matrix."""
        return self.heads * self.tiles

    @property
    def load(self) -> int:
        """Clocks in which a window of stream 1 comes."""
        return self.inputs[1].beats // self.windows

    @property
    def work(self) -> int:
        """Clocks in which a window of stream 0 passes."""
        return self.rows * self.words

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.windows * (self.load + self.work), self.load + self.column_folds)

    @property
    def pattern(self) -> Pattern:
        starts = np.arange(self.windows)[:, None] * (self.load + self.work)
        kept = starts + np.arange(self.load)
        vectors = self.load + np.arange(0, self.work, self.tiles)[:, None]
        reads = starts + (vectors + np.arange(self.column_folds)).ravel()
        writes = starts + self.load + np.arange(self.column_folds - 1, self.work, self.column_folds)
        return Pattern((reads.ravel(), kept.ravel()), (writes.ravel(),))

    # the memory of the kept matrix: one a lane of what stands still in a beat of stream 1

    @property
    def banks(self) -> int:
        """Memories that are read together; a beat of stream 1 goes into one of them."""
        return self.pe if self.transposed else self.simd

    @property
    def bank_steps(self) -> int:
        """Rows of stream 1 that one bank gets."""
        return self.row_folds if self.transposed else self.column_folds

    @property
    def load_parts(self) -> int:
        """Beats of one row of stream 1, in one head."""
        return self.column_folds if self.transposed else self.row_folds

    @property
    def address_steps(self) -> tuple[int, int, int]:
        """Of the address to write at: to a head's next beat, to the next head, to the bank's next row."""
        if self.transposed:
            return 1, (self.row_folds - 1) * self.column_folds + 1, self.column_folds
        return self.column_folds, self.column_folds, 1

    @property
    def bank(self) -> Memory:
        """One bank."""
        return ram(self.words, self.inputs[1].bits)

    @property
    def memories(self) -> tuple[Memory, ...]:
        vector = (ram(self.column_folds, self.inputs[0].bits),) if self.keeps_vector else ()
        return ((self.bank,) * self.banks) + vector

    @property
    def keeps_vector(self) -> bool:
        """Whether a row is of several beats that are needed again."""
        return self.row_folds > 1 and self.column_folds > 1

    @property
    def vector_style(self) -> str:
        """The ram_style of the memory that keeps the row."""
        return ram(self.column_folds, self.inputs[0].bits).style

    # the circuit

    @property
    def doubled(self) -> bool:
        """Whether +-1 of stream 1 are bits times two less one, for all columns the same."""
        return self.kept_type.bipolar and not self.source_type.bipolar and not self.source_type.signed

    @property
    def swapped(self) -> bool:
        """Whether stream 1 takes the circuit's place for inputs, which alone may be bipolar."""
        return self.kept_type.bipolar and self.source_type.signed

    @property
    def plane_types(self) -> tuple[IntType, IntType]:
        """What the circuit of bit planes takes as inputs and as weights."""
        if self.doubled:
            return self.source_type, IntType(1)
        kinds = (self.source_type, self.kept_type)
        inputs, weights = kinds[::-1] if self.swapped else kinds
        return inputs, weight_type(inputs, weights)

    @property
    def popcounts(self) -> tuple[Popcount | PlaneProducts, ...]:
        return (Popcount(self.simd) if self.counts else plane_products(self.simd, *self.plane_types),)

    @property
    def product_stages(self) -> int:
        """Clocks from both numbers to their part of the sum."""
        return self.popcounts[0].stages

    @property
    def sum_start(self) -> int:
        """What a sum holds before the first beat."""
        count = self.popcounts[0]
        return -count.excess * self.inner if isinstance(count, PlaneProducts) else 0

    @property
    def stages(self) -> int:
        return 4 + self.product_stages

    @property
    def parts(self) -> Parts:
        sums, count = self.pe * self.output_type.bits, self.popcounts[0]
        circuits = self.pe + self.doubled
        return {
            "counters": counter_bits(
                *(self.load_parts, self.heads, self.banks, self.bank_steps, self.words, self.words),
                *(self.column_folds, self.row_folds, self.heads * self.rows, self.column_folds),
            ),
            "arrived": self.inputs[1].bits + (0 if self.keeps_vector else self.inputs[0].bits),
            "beat": self.inputs[0].bits,
            "weights": self.banks * self.inputs[1].bits,
            "sums": sums,
            "added sums": sums if self.column_folds > 1 else 0,
            "popcounts": circuits * count.luts,
            "popcount registers": circuits * count.registers,
        }

    def foldings(self) -> Iterator[Self]:
        for pe in divisors(self.columns):
            for simd in divisors(self.inner):
                folded = replace(self, pe=pe, simd=simd)
                if max(stream.bits for stream in folded.inputs + folded.outputs) <= WIDEST_BEAT:
                    yield folded

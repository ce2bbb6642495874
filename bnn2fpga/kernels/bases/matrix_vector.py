"""What the matrix-vector kernels share: folding, ROM layout, fused thresholds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt

from bnn2fpga.circuits.memory import LUT_BITS, STORES, Memory, Store, counter_bits, ram, rom
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.folding import WIDEST_BEAT, check_folding, divisors
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern
from bnn2fpga.design.layers import dot_range
from bnn2fpga.design.packed_frames import PackedFrames, ending_of
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.kernels.bases.packed_products import PackedWeights
from bnn2fpga.kernels.bases.rom_fields import lanes_rom
from bnn2fpga.kernels.bases.step_table import StepTable
from bnn2fpga.kernels.bases.weight_tiles import WeightTiles
from bnn2fpga.packed.library import Ending


@dataclass(frozen=True, eq=False)
class MatrixVector(Kernel):
    """weights (M, K) times each vector of a (…, K) stream, then the steps if there are any.

    `pe` rows and `simd` columns are computed in each cycle: the vector is read once, in K/simd beats,
    and kept for the M/pe passes over it. Row n lies in processing element n % pe. `weights_in` says what
    memory the weights lie in.
    """

    source_shape: tuple[int, ...]
    source_type: IntType
    weights: Ints
    weight_type: IntType
    steps: Steps | None = None
    pe: int = 1
    simd: int = 1
    weights_in: Store = "auto"

    folding_fields = ("pe", "simd", "weights_in")

    def __post_init__(self) -> None:
        check_folding("pe", self.pe, self.rows, "channels")
        check_folding("simd", self.simd, self.columns, "inputs")
        if self.weights_in not in get_args(Store):
            raise FoldingError(f"weights_in={self.weights_in!r}; legal: {', '.join(get_args(Store))}")

    @property
    def rows(self) -> int:
        """M, the output channels."""
        return self.weights.shape[0]

    @property
    def columns(self) -> int:
        """K, the inputs of one sum."""
        return self.weights.shape[1]

    @property
    def row_folds(self) -> int:
        """Passes over one vector."""
        return self.rows // self.pe

    @property
    def column_folds(self) -> int:
        """Beats of one vector."""
        return self.columns // self.simd

    @property
    def tiles(self) -> int:
        """Words of one processing element's weight memory."""
        return self.row_folds * self.column_folds

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.simd),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((*self.source_shape[:-1], self.rows), self.output_type, self.pe),)

    @property
    @abstractmethod
    def accumulator_type(self) -> IntType:
        """The type of the finished sum, wide enough for every input."""

    @property
    @abstractmethod
    def dot_affine(self) -> tuple[int, int]:
        """(a, b) such that the integer dot product is a * accumulator + b."""

    @property
    def readers(self) -> int:
        """Lookup tables of a processing element that read one bit of the vector, about."""
        return 1

    @property
    def sum_type(self) -> IntType:
        """Of the register of a sum in the SystemVerilog."""
        return self.accumulator_type

    @property
    def sum_start(self) -> int:
        """What it holds before the first beat."""
        return 0

    @property
    def output_type(self) -> IntType:
        """The steps' output type, or the accumulator's."""
        return self.steps.output if self.steps else self.accumulator_type

    def dot(self, x: Ints) -> Ints:
        """The exact integer sums x (…, K) times weights: (…, M)."""
        largest = max(-self.source_type.low, self.source_type.high)
        heaviest = max(-self.weight_type.low, self.weight_type.high)
        # every partial sum is an integer below 2**24 (2**53), so floating point adds it exactly
        exact = np.float32 if self.columns * largest * heaviest < 1 << 24 else np.float64
        sums: npt.NDArray[np.floating] = x.astype(exact) @ self.weights.T.astype(exact)
        return sums.astype(np.int64)

    def accumulated(self, x: Ints) -> Ints:
        """The accumulators of inputs (…, K): (…, M)."""
        scale, offset = self.dot_affine
        return (self.dot(x) - offset) // scale

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        sums = self.accumulated(arrays[0])
        return (self.steps(sums) if self.steps else sums.astype(self.accumulator_type.dtype),)

    def before_steps(self, *arrays: Ints) -> tuple[Steps, Ints] | None:
        return (self.steps, self.accumulated(arrays[0])) if self.steps else None

    @cached_property
    def packed_weights(self) -> PackedWeights:
        """For the packed engine."""
        return PackedWeights(self.weights, self.weight_type)

    @cached_property
    def packed_ending(self) -> Ending:
        """For the packed engine."""
        return ending_of(self.steps)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        (x,) = frames
        return (x.following(self.outputs[0], self.packed_sums(x)),)

    def packed_sums(self, x: PackedFrames) -> npt.NDArray[Any]:
        """The accumulators behind the steps, if there are any; here of sums that are dot products."""
        return self.packed_weights.times(x, self.packed_ending)

    @property
    def cycles(self) -> Cycles:
        return Cycles(prod(self.source_shape[:-1]) * self.tiles, self.column_folds)

    @property
    def pattern(self) -> Pattern:
        vectors = np.arange(0, self.cycles.interval, self.tiles)
        reads = (vectors[:, None] + np.arange(self.column_folds)).ravel()
        return Pattern((reads,), (np.arange(self.column_folds - 1, self.cycles.interval, self.column_folds),))

    @property
    def step_bits(self) -> int:
        """Of one channel's steps in their memory."""
        return self.step_table.width if self.step_table else 0

    @property
    def parts(self) -> Parts:
        lanes = self.pe * self.sums
        sums = lanes * self.sum_type.bits
        counted: dict[str, float] = {
            "counters": counter_bits(
                self.column_folds, self.row_folds, self.tiles, self.column_folds, self.row_folds
            ),
            "beat": self.inputs[0].bits,
            "arrived": 0 if self._keeps_vector else self.inputs[0].bits,
            "weights": self.pe * self.simd * self.weight_type.bits
            if self.memories[0].style == "block"
            else 0,
            "sums": sums,
            "added sums": sums if self.column_folds > 1 else 0,
            "popcounts": lanes * sum(popcount.luts for popcount in self.popcounts),
            "popcount registers": lanes * sum(popcount.registers for popcount in self.popcounts),
        }
        if self.step_table:
            counted |= self.step_table.parts(self.pe, self.row_folds)
        return counted

    @property
    def sums(self) -> int:
        """Accumulators of a processing element."""
        return 1

    @property
    def memories(self) -> tuple[Memory, ...]:
        weights = rom(self.tiles, self.pe * self.simd * self.weight_type.bits, self.weights_in)
        steps = rom(self.row_folds, self.pe * self.step_bits)
        vector = (ram(self.column_folds, self.inputs[0].bits),) if self._keeps_vector else ()
        return (weights, steps, *vector)

    @property
    def _keeps_vector(self) -> bool:
        """Whether it is of several beats that are needed again."""
        return self.row_folds > 1 and self.column_folds > 1

    def foldings(self) -> Iterator[Self]:
        for pe in divisors(self.rows):
            for simd in divisors(self.columns):
                wide = max(
                    simd * self.source_type.bits, pe * self.output_type.bits, simd * self.weight_type.bits
                )
                if wide <= WIDEST_BEAT:
                    yield from self._folded(pe=pe, simd=simd)._stores()

    def _stores(self) -> Iterator[Self]:
        """This folding with its weights in LUTs and, where they are worth it, in block RAM."""
        worth_it = self.tiles > 1 and self.weights.size * self.weight_type.bits > LUT_BITS
        for store in STORES if worth_it else STORES[:1]:
            yield self._folded(weights_in=store)

    def _folded(self, **folding: Any) -> Self:
        """Another folding; there are hundreds, and the range of millions of weights' sums takes long."""
        folded = replace(self, **folding)
        vars(folded)["dot_range"] = self.dot_range
        return folded

    # what the templates read

    @property
    def product_stages(self) -> int:
        """Clocks from a beat of inputs and weights to its part of the sum."""
        return self.popcounts[0].stages if self.popcounts else 1

    @property
    def result_stages(self) -> int:
        """Clocks from the sums to what is compared with thresholds."""
        return 0

    @property
    def stages(self) -> int:
        return 4 + self.product_stages + self.result_stages

    @property
    def vector_style(self) -> str:
        """The ram_style of the memory that keeps the vector."""
        return ram(self.column_folds, self.inputs[0].bits).style

    @property
    def step_table(self) -> StepTable | None:
        """What the memory of the steps holds, if there are any."""
        return StepTable(self.steps, self.accumulator_type) if self.steps else None

    @property
    def rom_weights(self) -> Ints:
        """The weights as the memory of the SystemVerilog holds them."""
        return self.weights

    @property
    def roms(self) -> Mapping[str, Rom]:
        tables = {"tiles": self._tiles(self.rom_weights).rom(self.weights_in)}
        if self.step_table:
            tables["steps"] = lanes_rom(self.pe, self.step_table.bits)
        return tables

    @property
    def weight_tiles(self) -> WeightTiles:
        """The weights as the C++ keeps them."""
        return self._tiles(self.weights)

    def _tiles(self, weights: Ints) -> WeightTiles:
        return WeightTiles(weights, self.weight_type, self.pe, self.simd)

    @cached_property
    def dot_range(self) -> tuple[int, int]:
        """The exact smallest and largest integer dot product."""
        return dot_range(self.weights, self.source_type)

    @property
    def accumulator_range(self) -> tuple[int, int]:
        """The exact smallest and largest finished sum."""
        scale, offset = self.dot_affine
        low, high = self.dot_range
        return (low - offset) // scale, (high - offset) // scale

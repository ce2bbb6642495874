"""A circuit that adds up products of integers, bit plane times bit plane: nothing multiplies.

An AND of a bit of an input and one of a weight is a bit of the product; all go on one bit heap. Two lanes'
inputs, ANDed with a bit of each one's weight, are added in one LUT a bit, which makes the ANDs, too. Bits
that count negative are inverted, so that the sum only grows: by `excess` for every lane. Inputs of -1 and +1
take an XNOR in place of the AND.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Literal

from bnn2fpga.circuits.bit_heap import Heap, HeapCircuit

Sign = Literal["", "signed", "bipolar"]
"""Whether a number is unsigned, of two's complement, or of one bit that says -1 or +1."""
SIGN_NAMES = {"": "u", "signed": "s", "bipolar": "b"}


@dataclass(frozen=True)
class PlaneProducts(HeapCircuit):
    """The sum of `lanes` products of inputs and weights, and `excess` for each of them.

    Where inputs are bipolar, weights are signed and come with their top bit inverted, as numbers that are
    larger by `excess`. The lanes that agree with each of their bits are counted, and the inputs that are -1.
    """

    lanes: int
    input_bits: int
    input_sign: Sign
    weight_bits: int
    signed_weights: bool

    template = "plane_products"

    @property
    def name(self) -> str:
        sign = SIGN_NAMES["signed" if self.signed_weights else ""]
        inputs = f"{SIGN_NAMES[self.input_sign]}{self.input_bits}"
        return f"products_{self.lanes}_{inputs}_{sign}{self.weight_bits}_"

    @property
    def products(self) -> int:
        return self.lanes * self.input_bits * self.weight_bits

    @property
    def planes(self) -> dict[tuple[int, int], bool]:
        """Pairs of an input's and a weight's bit, and whether their product counts negative."""
        pairs = product(range(self.input_bits), range(self.weight_bits))
        return {(i, w): self._negative_input(i) != self._negative_weight(w) for i, w in pairs}

    @property
    def excess(self) -> int:
        """Of one lane: what is added to its product."""
        if self.input_sign == "bipolar":
            return 1 << self.weight_bits - 1
        return sum(1 << i + w for (i, w), negative in self.planes.items() if negative)

    @property
    def output_bits(self) -> int:
        bipolar = self.input_sign == "bipolar"
        largest = 1 << self.weight_bits if bipolar else sum(1 << i + w for i, w in self.planes)
        return (self.lanes * largest).bit_length()

    @cached_property
    def heap(self) -> Heap:
        return _compressed(self)

    def _negative_input(self, bit: int) -> bool:
        return self.input_sign == "signed" and bit == self.input_bits - 1

    def _negative_weight(self, bit: int) -> bool:
        return self.signed_weights and bit == self.weight_bits - 1


@cache  # folding asks for the same sizes thousands of times
def _compressed(sum_: PlaneProducts) -> Heap:
    heap = Heap()
    if sum_.input_sign == "bipolar":
        _count_agreement(heap, sum_)
    else:
        _add_rows(heap, sum_)
    # weights and inputs come from far
    heap.register()
    heap.compress()
    return heap


def _count_agreement(heap: Heap, sum_: PlaneProducts) -> None:
    """Of every plane of the weights three lanes a cell; and what inputs are -1."""
    for plane, start in product(range(sum_.weight_bits), range(0, sum_.lanes, 3)):
        lanes = range(start, min(start + 3, sum_.lanes))
        wires = [name for lane in lanes for name in (f"w[{sum_.weight_bits * lane + plane}]", f"x[{lane}]")]
        outputs = min(len(lanes), 2)
        heap.add(f"agree{len(lanes)}_", tuple(wires), outputs, outputs, 1 << plane)
    for lane in range(sum_.lanes):
        # all elements of the same input share it
        heap.add("agree1_", ("1'b0", f"x[{lane}]"), 1, 0, 1)


def _add_rows(heap: Heap, sum_: PlaneProducts) -> None:
    """Rows are a lane's input ANDed with one bit of its weight; two make a carry chain.

    They are of two lanes, or of a last odd lane alone.
    """
    paired = sum_.lanes - sum_.lanes % 2
    for plane, lane in product(range(sum_.weight_bits), range(0, paired, 2)):
        _add_chain(heap, sum_, (lane, plane), (lane + 1, plane))
    if paired < sum_.lanes:
        for plane in range(0, sum_.weight_bits - 1, 2):
            _add_chain(heap, sum_, (paired, plane), (paired, plane + 1))
        if sum_.weight_bits % 2:
            for bit in range(sum_.input_bits):
                place, wires, inverted = _product(sum_, paired, sum_.weight_bits - 1, bit)
                heap.add(f"product_ #(.INVERTED(1'b{inverted:d}))", wires, 1, 1, 1 << place)


def _add_chain(heap: Heap, sum_: PlaneProducts, *rows: tuple[int, int]) -> None:
    """Adds two rows, each a lane and a bit of its weight, at the place of the first one's lowest bit."""
    lowest = rows[0][1]
    count = sum_.input_bits + rows[1][1] - lowest
    wires, inverted = [["1'b0"] * 4 for _ in range(count)], 0
    for number, (lane, plane) in enumerate(rows):
        for bit in range(sum_.input_bits):
            place, names, negative = _product(sum_, lane, plane, bit)
            wires[place - lowest][2 * number : 2 * number + 2] = names
            inverted |= negative << 2 * (place - lowest) + number
    module = f"chain_ #(.COUNT({count}), .INVERTED({2 * count}'h{inverted:x}))"
    heap.add(module, tuple(name for place in wires for name in place), count + 1, count, 1 << lowest)


def _product(sum_: PlaneProducts, lane: int, plane: int, bit: int) -> tuple[int, tuple[str, str], bool]:
    """Of a bit of a lane's input and one of its weight: the place, the two wires, whether it is inverted."""
    wires = (f"x[{sum_.input_bits * lane + bit}]", f"w[{sum_.weight_bits * lane + plane}]")
    return plane + bit, wires, sum_.planes[bit, plane]

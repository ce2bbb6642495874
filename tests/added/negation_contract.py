"""The contract of a kernel that only the tests add."""

from __future__ import annotations

from bnn2fpga.kernels.negation import Negated
from hypothesis import strategies as st

from bnn2fpga.design.integers import IntType
from bnn2fpga.design.stream import Stream
from tests.contract import KernelContract, int_types


class TestContract(KernelContract):
    layers = st.builds(lambda kind, n: Negated(Stream((3, n), kind)), int_types(), st.sampled_from((6, 12)))
    always = (Negated(Stream((2, 2, 12), IntType(8, signed=True))),)
    examples = 1

"""Every kernel at its least foldings, side by side in one design."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.design.kernel import Kernel
from tests import kernels as kernel_tests
from tests.contract import KernelContract, side_by_side


def contracts() -> list[KernelContract]:
    """Every kernel's."""
    found = []
    for module in iter_modules(kernel_tests.__path__):
        for value in vars(import_module(f"tests.kernels.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, KernelContract) and hasattr(value, "layers"):
                found.append(value())
    return found


def least_foldings(contract: KernelContract, count: int) -> list[tuple[Kernel, int]]:
    """The `count` least of the contract's that differ in the ports."""

    def size(case: tuple[Kernel, int]) -> int:
        return sum(stream.size for stream in case[0].inputs + case[0].outputs)

    cases = sorted(contract.collected(), key=size)
    distinct = {str(kernel.inputs + kernel.outputs): (kernel, seed) for kernel, seed in reversed(cases)}
    return list(distinct.values())[-count:]


def every_kernel(count: int) -> tuple[Design, list[Ints], list[tuple[Kernel, Ints]]]:
    """At `count` foldings: the design, an array an input, for every output its kernel and numpy's array."""
    cases = [(contract, *case) for contract in contracts() for case in least_foldings(contract, count)]
    inputs: list[Ints] = []
    expected: list[tuple[Kernel, Ints]] = []
    for contract, kernel, seed in cases:
        arrays = contract.inputs_of(kernel, seed)
        inputs += arrays
        expected += [(kernel, result) for result in kernel.compute(*arrays)]
    return side_by_side([kernel for _, kernel, _ in cases]), inputs, expected

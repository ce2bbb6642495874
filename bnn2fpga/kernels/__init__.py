"""The kernels, found by looking: a new file here is a new kernel."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Layer
from bnn2fpga.errors import BuildError


@cache
def all_kernels() -> tuple[type[Kernel], ...]:
    """Every kernel class of this package, by file name."""
    found = []
    for module in sorted(iter_modules(__path__), key=lambda m: m.name):
        members = vars(import_module(f"{__name__}.{module.name}")).values()
        found += [
            m for m in members if inspect.isclass(m) and issubclass(m, Kernel) and not inspect.isabstract(m)
        ]
    return tuple(dict.fromkeys(found))


def implement(layer: Layer) -> Kernel:
    """The kernel that takes `layer`, at its smallest folding; a BuildError if none or two do."""
    takers = [kernel for kind in all_kernels() if (kernel := kind.implements(layer)) is not None]
    if len(takers) != 1:
        names = ", ".join(type(kernel).__name__ for kernel in takers) or "no kernel"
        raise BuildError(
            f"{type(layer).__name__} of {layer.source.type}: {names} implements it, exactly one must"
        )
    return takers[0]

"""The graph with every sum put back on its integer grid: what `--exact-sums` asks for.

The graph's own float32 sums lie beside their grid by what was rounded on the way. Where a sum is near a
threshold that decides, and the user wants the exact sum to decide, so the reference has to be exact, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.design.integers import Ints
from bnn2fpga.frontend.graph.execute import Array, Graph


@dataclass(frozen=True, eq=False)
class Grid:
    """The numbers scale * n + bias, n an integer, that elements (1, …) of a tensor can be."""

    scale: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    @classmethod
    def of(cls, scale: Array, bias: Array | float, channels: int, index: Ints) -> Grid:
        """Of a stream's channels; index[i] is the place in the stream of the tensor's element i."""
        places = index % channels
        return cls(*(np.broadcast_to(one, channels)[places].astype(np.float64) for one in (scale, bias)))

    def nearest(self, values: Array) -> Array:
        """The numbers next to `values` (N, …), as the lowering computes them."""
        n = np.rint((values - self.bias) / self.scale)
        return (n * self.scale + self.bias).astype(values.dtype)


class ExactGraph(Graph):
    """A graph whose tensors `sums` are put on their grids as soon as they are computed."""

    def __init__(self, model: ModelWrapper, sums: Mapping[str, Grid]) -> None:
        self._sums = sums
        super().__init__(model)

    def _run(self, nodes: Iterable[onnx.NodeProto], values: dict[str, Array]) -> dict[str, Array]:
        for node in nodes:
            values = super()._run([node], values)
            for name in node.output:
                if name in self._sums:
                    values[name] = self._sums[name].nearest(values[name])
        return values

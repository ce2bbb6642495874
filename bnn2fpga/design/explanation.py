"""What became of a network, region by region, and why: plain data for people and for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import IntType


@dataclass(frozen=True)
class Integers:
    """A tensor as integers n from `low` to `high`: it is scale * (multiplier * n + offset) + bias.

    `low` and `high` bound what can occur, for any input. `scale` and `bias` are the smallest and the
    largest over the channels; `scale` is None where no graph says what the integers stand for.
    """

    type: str
    low: int
    high: int
    scale: tuple[float, float] | None = None
    multiplier: int = 1
    offset: int = 0
    bias: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of_type(cls, kind: IntType) -> Integers:
        """Every value of a type, without a scale."""
        return cls(str(kind), kind.low, kind.high)


@dataclass(frozen=True)
class GraphNode:
    """A node of the streamlined graph."""

    name: str
    op_type: str


@dataclass(frozen=True)
class Unit:
    """A kernel of the final design; `kind` is its class, see `bnn2fpga kernels`."""

    name: str
    kind: str


@dataclass(frozen=True)
class Region:
    """Nodes that were built together, the last of them the one that decided, and what they became.

    `kernels` are in the design's order; `fused_into` names the kernels of other regions that took
    thresholds of this one. With neither, the host computes the nodes if `on_host`, else nothing does (yet).
    `integers` are the region's result.
    """

    nodes: tuple[GraphNode, ...]
    kernels: tuple[Unit, ...] = ()
    fused_into: tuple[str, ...] = ()
    on_host: bool = False
    rules: tuple[str, ...] = ()
    integers: Integers | None = None


@dataclass(frozen=True)
class Input:
    """An input of a refused node: its shape, None if unknown, and what is known of it.

    `waiting` are the nodes between the integers and the input, which no kernel has taken yet.
    """

    tensor: str
    shape: tuple[int, ...] | None
    known: str
    integers: Integers | None = None
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Where lowering gave up; `node` is None where the graph as a whole is refused.

    `reason` is the error's text: what is wrong, what is legal, what to do.
    """

    reason: str
    exit_code: int
    node: GraphNode | None = None
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class Change:
    """A transformation that changed the graph before it was lowered; the counts are its nodes'."""

    transformation: str
    nodes_before: int
    nodes_after: int


@dataclass(frozen=True)
class Explanation:
    """A network's regions in graph order; with a `refusal` only those before it."""

    name: str
    regions: tuple[Region, ...]
    changes: tuple[Change, ...] = ()
    refusal: Refusal | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The same as JSON takes it."""
        return asdict(self)


def explain_design(design: Design) -> Explanation:
    """Every kernel of a design that no graph stands behind."""
    regions = [
        Region(
            (),
            (Unit(node.name, type(node.kernel).__name__),),
            rules=(node.kernel.summary,),
            integers=Integers.of_type(node.kernel.outputs[0].type),
        )
        for node in design.nodes
    ]
    return Explanation(design.name, tuple(regions))

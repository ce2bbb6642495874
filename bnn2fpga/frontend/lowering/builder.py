"""Collects kernels and edges while a graph is lowered."""

from __future__ import annotations

from bnn2fpga.design.graph import Design, Edge, Node, Port
from bnn2fpga.design.host import Host
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Copies, Layer, Split
from bnn2fpga.design.stream import Stream
from bnn2fpga.files.identifiers import c_name
from bnn2fpga.kernels import implement

Branch = tuple[Port, Stream]
"""Where a stream comes from, and the stream."""


class Builder:
    """A Design under construction; a stream read twice gets a fork when it is finished.

    `rounded` collects the graph's nodes at which a branch was rounded to a grid. Who adds a kernel says
    why, in a short sentence for the network's author.
    """

    def __init__(self) -> None:
        self._kernels: dict[str, Kernel] = {}
        self._readers: dict[Port, list[Port]] = {}
        self._streams: dict[Port, Stream] = {}
        self.rounded: list[str] = []
        self._origins: dict[str, tuple[Layer, tuple[Port, ...]]] = {}
        self._said: list[str] = []
        self._new: list[str] = []

    def open_input(self, stream: Stream) -> Port:
        """The design's next input port."""
        port = Port(None, sum(port.node is None for port in self._streams))
        self._streams[port] = stream
        return port

    def add(self, name: str, layer: Layer, *sources: Port) -> tuple[Port, Kernel]:
        """Adds the kernel that implements `layer`, fed by `sources`; its output port and itself."""
        kernel, unique, count = implement(layer), c_name(name), 1
        while unique in self._kernels:
            count += 1
            unique = f"{c_name(name)}_{count}"
        self._kernels[unique] = kernel
        self._new.append(unique)
        self._origins[unique] = (layer, sources)
        for index, source in enumerate(sources):
            self._readers.setdefault(source, []).append(Port(unique, index))
        for index, stream in enumerate(kernel.outputs):
            self._streams[Port(unique, index)] = stream
        return Port(unique), kernel

    def split(self, name: str, stream: Stream, at: int, source: Port) -> tuple[Branch, Branch]:
        """The first `at` channels of `stream` and the others; who cuts there a second time gets the same."""
        origin = (Split(stream, at), (source,))
        made = next((kernel for kernel, known in self._origins.items() if known == origin), None)
        port = Port(made) if made else self.add(name, origin[0], source)[0]
        second = Port(port.node, 1)
        return (port, self._streams[port]), (second, self._streams[second])

    def say(self, sentence: str) -> None:
        """Notes what the graph's node at hand becomes by which rule; see `news`."""
        self._said.append(sentence)

    def news(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the kernels added and the sentences said since the last call."""
        new, said = tuple(self._new), tuple(self._said)
        self._new, self._said = [], []
        return new, said

    @property
    def unread(self) -> list[Port]:
        """The ports whose streams no kernel takes so far."""
        return [port for port in self._streams if port not in self._readers]

    def is_read(self, port: Port) -> bool:
        """Whether a kernel takes the stream of `port` so far."""
        return port in self._readers

    def origin(self, port: Port) -> tuple[Layer, tuple[Port, ...]] | None:
        """The layer behind `port` and what feeds it; None for an input of the design."""
        return None if port.node is None else self._origins[port.node]

    def finish(self, name: str, outputs: list[Port], host: Host) -> Design:
        """The Design; the `outputs` are its output ports. Kernels that nothing reads are left out."""
        for index, port in enumerate(outputs):
            self._readers.setdefault(port, []).append(Port(None, index))
        self._drop_unread()
        for source, readers in list(self._readers.items()):
            if len(readers) > 1:
                del self._readers[source]
                fork, _ = self.add(
                    f"{source.node or 'input'}_fork", Copies(self._streams[source], len(readers)), source
                )
                self._readers |= {Port(fork.node, index): [reader] for index, reader in enumerate(readers)}
        edges = tuple(
            Edge(source, reader, self._streams[source])
            for source, readers in self._readers.items()
            for reader in readers
        )
        return Design(c_name(name), self._in_order(edges), edges, host)

    def _drop_unread(self) -> None:
        read = {port.node for port in self._readers}
        unread = [name for name in self._kernels if name not in read]
        if unread:
            for name in unread:
                del self._kernels[name]
            for port, readers in list(self._readers.items()):
                self._readers[port] = [reader for reader in readers if reader.node not in unread]
                if not self._readers[port]:
                    del self._readers[port]
            self._drop_unread()

    def _in_order(self, edges: tuple[Edge, ...]) -> tuple[Node, ...]:
        ordered: list[Node] = []
        done: set[str | None] = {None}
        waiting = dict(self._kernels)
        while waiting:
            ready = [n for n in waiting if all(e.source.node in done for e in edges if e.target.node == n)]
            ordered += [Node(name, waiting.pop(name)) for name in ready]
            done |= set(ready)
        return tuple(ordered)

"""A netlist as Verilog: every cell by what it does, so that any simulator reads it and none needs models."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from bnn2fpga.bitstream.netlist import (
    HIGH,
    LOW,
    WITH_SHARED,
    BlockMemory,
    FlipFlop,
    Netlist,
    ReadPort,
    Table,
    TableMemory,
    WritePort,
)
from bnn2fpga.errors import BitstreamError

DATA_BITS, PARITY_BITS, ROW_BITS = 16384, 2048, 256
PROCESSOR = "PS7"


def verilog(netlist: Netlist, top: str, ports: Collection[str] | None = None) -> str:
    """The module `top` without pins, with an instance `ps7` of PS7, which is not in it.

    The instance has only those `ports` of a PS7, where they are given. A BitstreamError names an input that
    is left out although it is driven, and a block RAM whose ports do not fit together.
    """
    return "".join(
        f"{line}\n"
        for line in (
            f"module {top};",
            *(f"    wire {net};" for net in sorted(netlist.outputs.values())),
            *(line for cell in netlist.flipflops for line in [f"    reg {cell.output} = 1'b{cell.init};"]),
            *(line for cell in netlist.table_memories for line in _memory_declaration(cell)),
            *(f"    wire {cell.output};" for cell in netlist.tables),
            *_block_memories(netlist),
            *(f"    assign {cell.output} = {_expression(cell)};" for cell in netlist.tables),
            *_flipflops(netlist.flipflops),
            *(line for cell in netlist.table_memories for line in _table_memory(cell)),
            *_processor(netlist, ports),
            "endmodule",
        )
    )


def _expression(cell: Table) -> str:
    known = {
        (0x2, 1): "{0}",
        (0x1, 1): "!{0}",
        (0x6, 2): "{0} ^ {1}",
        (0x8, 2): "{0} && {1}",
        (0xE, 2): "{0} || {1}",
        (0xCA, 3): "{2} ? {1} : {0}",
    }
    count = len(cell.inputs)
    if not count:
        return f"1'b{cell.init}"
    if (cell.init, count) in known:
        return known[cell.init, count].format(*cell.inputs)
    return f"{1 << count}'h{cell.init:x} >> {_joined(cell.inputs)}"


def _joined(nets: Iterable[str]) -> str:
    """Nets as one number, the first in its least bit."""
    return f"{{{', '.join(reversed(tuple(nets)))}}}"


def _flipflops(cells: Iterable[FlipFlop]) -> Iterator[str]:
    """One block for all of the same clock, enable and reset."""
    groups: dict[tuple[str, str, str], list[FlipFlop]] = defaultdict(list)
    for cell in cells:
        edge = f"{'negedge' if cell.falling else 'posedge'} {cell.clock}"
        if not cell.synchronous and cell.reset != LOW:
            edge += f" or posedge {cell.reset}"
        groups[edge, cell.reset, cell.enable].append(cell)
    for (edge, reset, enable), group in groups.items():
        yield f"    always @({edge})"
        if reset != LOW:
            yield f"        if ({reset}) begin"
            yield from (f"            {cell.output} <= 1'b{cell.value};" for cell in group)
            yield "        end else"
        yield f"        {'' if enable == HIGH else f'if ({enable}) '}begin"
        yield from (f"            {cell.output} <= {cell.data};" for cell in group)
        yield "        end"


def _memory_declaration(cell: TableMemory) -> Iterator[str]:
    bits = 1 << len(cell.read_address)
    yield f"    reg [{bits - 1}:0] {cell.output}_bits = {bits}'h{cell.init:x};"
    yield f"    wire {cell.output} = {cell.output}_bits[{_joined(cell.read_address)}];"


def _table_memory(cell: TableMemory) -> Iterator[str]:
    write = f"{cell.output}_bits[{_joined(cell.write_address)}] <= {cell.data};"
    yield f"    always @(posedge {cell.clock}) if ({' && '.join(cell.enables)}) {write}"


def _block_memories(netlist: Netlist) -> Iterator[str]:
    used = {net for cell in netlist.cells() for net in cell.reads()} | set(netlist.inputs.values())
    for memory in netlist.block_memories:
        yield from _block_memory(memory, used)


def _block_memory(memory: BlockMemory, used: set[str]) -> Iterator[str]:
    """Two arrays, data and parity, in units of the narrowest port; sides that nobody reads are left out."""
    reads = [read if read and used.intersection(read.outputs) else None for read, _ in memory.sides]
    # a side that never writes may have any width of its own
    writes = [write if write and set(write.enables) != {LOW} else None for _, write in memory.sides]
    shares = any(read and read.width == WITH_SHARED and read.outputs[-1] in used for read in reads)
    if not shares:
        reads = [read and read.without_shared() for read in reads]
        writes = [write and write.without_shared() for write in writes]
    widths = [port.width for port in (*reads, *writes) if port]
    if shares and set(widths) != {WITH_SHARED}:
        raise BitstreamError(
            f"{memory.name}: 36 Kbit of RAM with ports of 9 bits and of others, which is not read back"
        )
    data = min((_data_width(width) for width in widths), default=1)
    parity = 1 if shares else min((width // 9 for width in widths if width >= 9), default=0)
    yield from _array(f"{memory.name}_data", memory.init, data, DATA_BITS)
    if shares:
        yield from _array(f"{memory.name}_parity", memory.shared, parity, 2 * PARITY_BITS)
    elif parity:
        yield from _array(f"{memory.name}_parity", memory.parity, parity, PARITY_BITS)
    for read, write in zip(reads, writes, strict=True):
        if write:
            yield f"    always @(posedge {write.clock}) if ({write.enable}) begin"
            yield from _writing(memory.name, write, data, parity)
            yield "    end"
        if read:
            yield from _reading(memory.name, read, write, data, parity)


def _array(name: str, init: int, unit: int, bits: int) -> Iterator[str]:
    """Filled row by row: simulators are slow to take pieces out of longer constants."""
    place, row, each = f"{name}_place", f"{name}_row", ROW_BITS // unit
    yield f"    reg [{unit - 1}:0] {name} [0:{bits // unit - 1}];"
    yield f"    reg [{ROW_BITS - 1}:0] {row};"
    yield f"    integer {place};"
    yield "    initial begin"
    for count in range(bits // ROW_BITS):
        value = init >> (ROW_BITS * count) & ((1 << ROW_BITS) - 1)
        yield f"        {row} = {ROW_BITS}'h{value:x};"
        yield f"        for ({place} = 0; {place} < {each}; {place} = {place} + 1)"
        yield f"            {name}[{each * count} + {place}] = {row}[{unit} * {place} +: {unit}];"
    yield "    end"


def _data_width(width: int) -> int:
    return width // 9 * 8 if width >= 9 else min(width, 4)


def _places(name: str, port: ReadPort | WritePort, data: int, parity: int) -> Iterator[tuple[str, int, int]]:
    """Each unit of memory that a port reaches, with the first and the number of the port's bits in it."""
    wide = _data_width(port.width)
    high = port.address[wide.bit_length() - 1 :]
    for array, unit, start, count in (
        (f"{name}_data", data, 0, wide),
        (f"{name}_parity", parity, wide, port.width - wide),
    ):
        for place in range(count // unit if unit else 0):
            bits = (count // unit).bit_length() - 1
            low = tuple(HIGH if place >> bit & 1 else LOW for bit in range(bits))
            yield f"{array}[{_joined((*low, *high))}]", start + place * unit, unit


def _writing(name: str, port: WritePort, data: int, parity: int) -> Iterator[str]:
    for place, first, count in _places(name, port, data, parity):
        start = first
        while start < first + count:  # a unit is written in pieces of one enable
            end = start + 1
            while end < first + count and port.enables[end] == port.enables[start]:
                end += 1
            bits = f"[{end - first - 1}:{start - first}]"
            if port.enables[start] != LOW:
                value = _joined(port.data[start:end])
                yield f"        if ({port.enables[start]}) {place}{bits} <= {value};"
            start = end


def _reading(name: str, read: ReadPort, write: WritePort | None, data: int, parity: int) -> Iterator[str]:
    """The latches of a side, its register if it has one, and its outputs."""
    size, latches = read.width, f"{name}_{read.outputs[0].rpartition('_')[2]}_latches"
    places = list(_places(name, read, data, parity))
    # parity that the narrowest port does not have is not kept
    value = f"{{{', '.join(place for place, _, _ in reversed(places))}}}"
    if write:
        value = _written_first(read, write, value) if read.mode == "WRITE_FIRST" else value
    yield f"    reg [{size - 1}:0] {latches} = 0;"
    yield f"    always @(posedge {read.clock}) if ({read.enable})"
    kept = " && ".join(f"!({net})" for net in sorted(set(write.enables))) if write else ""
    guard = f"if ({kept}) " if kept and read.mode == "NO_CHANGE" else ""
    if read.reset == LOW:
        yield f"        {guard}{latches} <= {value};"
    else:
        yield f"        if ({read.reset}) {latches} <= 0; else {guard}{latches} <= {value};"
    shown = latches
    if read.register:
        shown = f"{latches}_register"
        yield f"    reg [{size - 1}:0] {shown} = 0;"
        yield f"    always @(posedge {read.clock})"
        yield f"        if ({read.register_reset}) {shown} <= 0;"
        yield f"        else if ({read.register_enable}) {shown} <= {latches};"
    for bit, output in enumerate(read.outputs):
        yield f"    wire {output} = {shown}[{bit}];"


def _written_first(read: ReadPort, write: WritePort, old: str) -> str:
    if read.width != write.width:
        raise BitstreamError(
            f"{read.outputs[0]}: a block RAM that shows what it writes reads {read.width} bits and writes "
            f"{write.width}, which is not read back"
        )
    enables = _joined(write.enables)
    return f"({_joined(write.data)} & {enables}) | ({old} & ~{enables})"


def _processor(netlist: Netlist, ports: Collection[str] | None) -> Iterator[str]:
    """The instance; a port of several pins has them in one vector, open pins are left unconnected."""
    pins = netlist.inputs | netlist.outputs
    vectors: dict[str, dict[int, str]] = defaultdict(dict)
    for pin, net in pins.items():
        base, index = _port(pin, pins, ports)
        vectors[base][index] = net
    connections = []
    for base, nets in sorted(vectors.items()):
        if ports is not None and base not in ports:
            driven = [net for net in nets.values() if net not in (LOW, HIGH)]
            if driven:
                raise BitstreamError(
                    f"PS7.{base}: is driven by {driven[0]}; the model of a PS7 has no such port"
                )
            continue
        output = next(iter(nets.values())) in netlist.outputs.values()
        if list(nets) == [-1]:
            connections.append(f".{base}({nets[-1]})")
            continue
        bits = []
        for index in range(max(nets) + 1):
            if index not in nets and output:
                yield f"    wire {base}_{index}_open;"
            bits.append(nets.get(index, f"{base}_{index}_open" if output else HIGH))
        connections.append(f".{base}({_joined(bits)})")
    yield f"    {PROCESSOR} ps7 ("
    yield ",\n".join(f"        {connection}" for connection in connections)
    yield "    );"


def _port(pin: str, pins: Collection[str], ports: Collection[str] | None) -> tuple[str, int]:
    """The port and the index of a pin; -1 for a port of one pin."""
    match = re.fullmatch(r"(.*?)(\d+)", pin)
    if match is None or (ports is not None and pin in ports):
        return pin, -1
    return match.group(1), int(match.group(2))

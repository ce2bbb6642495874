"""A Design as a Vitis HLS project: one file a kernel, the top level, a test bench, a Tcl script."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from bnn2fpga.errors import BuildError
from bnn2fpga.ir import Design, Edge
from bnn2fpga.project import Project
from bnn2fpga.resources_path import data_folder

# keywords of C++17, Verilog 2001 and SystemVerilog 2012, then what the generated files themselves name so
_RESERVED = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl
const const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit
export extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq
nullptr operator or or_eq private protected public register reinterpret_cast return short signed sizeof
static static_assert static_cast struct switch template this thread_local throw true try typedef typeid
typename union unsigned using virtual void volatile wchar_t while xor xor_eq

always assign begin buf bufif0 bufif1 casex casez cell cmos config deassign defparam design disable edge
end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable endtask event
force forever fork function generate genvar highz0 highz1 ifnone incdir include initial inout input
instance integer join large liblist library localparam macromodule medium module nand negedge nmos nor
notif0 notif1 output parameter pmos posedge primitive pull0 pull1 pulldown pullup pulsestyle_ondetect
pulsestyle_onevent rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1 scalared
showcancelled small specify specparam strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1
tri tri0 tri1 triand trior trireg unsigned use vectored wait wand weak0 weak1 wire wor xnor

accept_on alias always_comb always_ff always_latch assert assume before bind bins binsof bit byte chandle
checker class clocking constraint context cover covergroup coverpoint cross dist endchecker endclass
endclocking endgroup endinterface endpackage endprogram endproperty endsequence eventually expect extends
final first_match foreach forkjoin global iff ignore_bins illegal_bins implements implies import inside
interconnect interface intersect join_any join_none let local logic matches modport nettype nexttime null
package packed priority program property pure rand randc randcase randsequence ref reject_on restrict s_always
s_eventually s_nexttime s_until s_until_with sequence shortint shortreal soft solve string strong struct super
sync_accept_on sync_reject_on tagged throughout timeprecision timeunit type unique unique0 until until_with
untyped var virtual void wait_order weak wildcard with within

main hls std ap_int ap_uint ap_axiu EOF NULL
"""
RESERVED = frozenset(_RESERVED.split())
"""What `c_name` never returns."""


def _table(values: Any, *shape: int) -> str:
    """A C initializer of nested braces; `shape` folds a flat array first."""
    nested = np.asarray(values).reshape(shape).tolist() if shape else values

    def braces(value: Any) -> str:
        if isinstance(value, list):
            return "{" + ",".join(map(braces, value)) + "}"
        return f"{value}ULL" if value >= 1 << 63 else f"{value}"

    return braces(nested)


def _native(bits: int) -> str:
    """The unsigned C integer of 8, 16, 32 or 64 bits."""
    return {8: "unsigned char", 16: "unsigned short", 32: "unsigned", 64: "unsigned long long"}[bits]


def _wire(edge: Edge) -> str:
    """The name of an edge's stream in the top level; no `c_name` ends in an underscore."""
    return f"{edge.source.node or 'in'}_{edge.source.index}_"


def _index_bits(count: int) -> int:
    """Bits of a counter from 0 to count - 1."""
    return max(1, (count - 1).bit_length())


def _literal(value: int, bits: int) -> str:
    """A sized hexadecimal constant of SystemVerilog, two's complement."""
    return f"{bits}'h{value & ((1 << bits) - 1):x}"


def c_name(text: str) -> str:
    """`text` made an identifier of C++, Tcl and Verilog; only letters, digits and underscores stay."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    return name if name and not name[0].isdigit() and name not in RESERVED else f"n_{name}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(data_folder("hls_templates")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=lambda name: (name or "").endswith((".html.j2", ".svg.j2")),
    )
    environment.filters |= {
        "table": _table,
        "native": _native,
        "wire": _wire,
        "index_bits": _index_bits,
        "literal": _literal,
    }
    return environment


def render(template: str, **values: object) -> str:
    """`template` of hls_templates/ filled in; a BuildError names the template and the missing value."""
    try:
        return _environment().get_template(template).render(values)
    except TemplateError as error:
        raise BuildError(f"template {template}: {error}") from error


def check_names(design: Design) -> None:
    """A BuildError unless the top level and the kernels have different names."""
    if design.name in {node.name for node in design.nodes}:
        raise BuildError(f"{design.name}: the design and one of its kernels share this name; rename one")


def hls_project(design: Design, part: str, clock_mhz: float) -> Project:
    """The C++ and Tcl of `design` for an FPGA `part`, clocked at `clock_mhz`."""
    check_names(design)
    files = {
        "bnn2fpga.hpp": render("bnn2fpga.hpp.j2"),
        "top.hpp": render("top.hpp.j2", design=design),
        "top.cpp": render("top.cpp.j2", design=design),
        "testbench.cpp": render("testbench.cpp.j2", design=design),
        "vitis_hls.tcl": render("vitis_hls.tcl.j2", design=design, part=part, clock_mhz=clock_mhz),
        "hls.cfg": render("hls.cfg.j2", name=design.name, part=part, clock_mhz=clock_mhz),
        "gcc/ap_axi_sdata.h": render("ap_axi_sdata.h.j2"),
        "gcc/threads.cpp": render("threads.cpp.j2", design=design),
        "gcc/threads/hls_stream.h": render("threads_stream.h.j2"),
    }
    for node in design.nodes:
        text = render(f"kernels/{node.kernel.template}.hpp.j2", name=node.name, k=node.kernel)
        files[f"kernels/{node.name}.hpp"] = (
            f"// {node.name}: {type(node.kernel).__name__}\n#pragma once\n{text}"
        )
    return Project(files)

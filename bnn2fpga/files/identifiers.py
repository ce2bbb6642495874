"""Names that C++, Tcl and Verilog all take."""

from __future__ import annotations

import re

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


def c_name(text: str) -> str:
    """`text` made an identifier of C++, Tcl and Verilog; only letters, digits and underscores stay."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    return name if name and not name[0].isdigit() and name not in RESERVED else f"n_{name}"

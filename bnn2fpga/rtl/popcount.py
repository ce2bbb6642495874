from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Popcount:
    bits: int
    masked: bool = False

    @property
    def name(self) -> str:
        return f"{'masked' if self.masked else 'xnor'}_popcount_{self.bits}"

    @property
    def output_bits(self) -> int:
        return self.bits.bit_length()

    @property
    def stages(self) -> int:
        return 2

    def render(self) -> str:
        valid = f"input wire [{self.bits - 1}:0] valid," if self.masked else ""
        return f"""module {self.name} #(parameter int PRIMITIVES = 0) (input wire clk, input wire en,
 input wire [{self.bits - 1}:0] x, input wire [{self.bits - 1}:0] w, {valid} output reg [{self.output_bits - 1}:0] count);
 reg [{self.output_bits - 1}:0] first;
 always_ff @(posedge clk) if (en) begin first <= $countones(~(x ^ w){" & valid" if self.masked else ""}); count <= first; end
endmodule
"""

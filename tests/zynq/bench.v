// The whole accelerator on the model of the PS7, with a count of the stalls of its own.
module bench;
    zynq_top top ();

    localparam EDGES = `EDGES;
    integer edge_, count [0:EDGES-1];

    always @(posedge top.clk) begin
        for (edge_ = 0; edge_ < EDGES; edge_ = edge_ + 1)
            if (top.registers.stalls.clear || top.registers.stalls.to_clear != 0) count[edge_] = 0;
            else count[edge_] = count[edge_] + top.core.stalled[edge_];
        if (top.ps7.finished)
            for (edge_ = 0; edge_ < EDGES; edge_ = edge_ + 1) $display("STALLS %0d %0d", edge_, count[edge_]);
    end
endmodule

// A core for tests that takes and gives a beat in every clock. What it gives depends on all it took and means nothing.
// No net of it is wide: lanes of 64 bits have registers of their own.
module CORE #(
    parameter int B = 1,
    parameter int C = 1,
    parameter int IN_BEATS = 4,
    parameter int OUT_BEATS = 3,
    parameter int EDGES = 3
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [8*B-1:0]   s_axis0_tdata,
    input  logic             s_axis0_tvalid,
    output logic             s_axis0_tready,
    input  logic             s_axis0_tlast,
    output logic [8*C-1:0]   m_axis0_tdata,
    output logic             m_axis0_tvalid,
    input  logic             m_axis0_tready,
    output logic             m_axis0_tlast,
    output logic [EDGES-1:0] stalled,
    output logic             frame_done
);
    localparam int IN = (8 * B + 63) / 64;
    localparam int OUT = (8 * C + 63) / 64;
    logic [64*IN-1:0] taken, mixed;
    logic [64*OUT-1:0] given;

    assign m_axis0_tdata = given;

    always_ff @(posedge clk) begin
        s_axis0_tready <= !rst;
        m_axis0_tvalid <= !rst;
        m_axis0_tlast <= s_axis0_tvalid && s_axis0_tlast;
        taken <= s_axis0_tdata;
        frame_done <= m_axis0_tvalid && m_axis0_tready && m_axis0_tlast;
        stalled <= rst ? 0 : {stalled, m_axis0_tlast};
    end

    genvar i;
    generate
        for (i = 0; i < IN; i = i + 1) begin : in_lanes
            logic valid, clear;
            (* keep *) always_ff @(posedge clk) valid <= s_axis0_tvalid;
            (* keep *) always_ff @(posedge clk) clear <= rst;
            always_ff @(posedge clk)
                if (clear) mixed[64*i +: 64] <= 0;
                else if (valid)
                    mixed[64*i +: 64] <= taken[64*i +: 64] ^ {mixed[64*i +: 63], mixed[64*((i+1)%IN) + 63]};
        end
        for (i = 0; i < OUT; i = i + 1) begin : out_lanes
            logic clear;
            (* keep *) always_ff @(posedge clk) clear <= rst;
            always_ff @(posedge clk)
                if (clear) given[64*i +: 64] <= 0;
                else given[64*i +: 64] <= mixed[64*(i%IN) +: 64] ^ {given[64*i +: 63], given[64*((i+1)%OUT) + 63]};
        end
    endgenerate
endmodule

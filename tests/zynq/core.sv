// A core for tests: sums the bytes of IN_BEATS beats, then sends OUT_BEATS beats whose byte j of beat i is
// the sum + i + 3 j, modulo 256. It takes and gives beats at random; `stalled` is an arbitrary pattern that
// a test can count: edge e stalls in every clock in which input bytes are refused and bit e of COUNT is 1.
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
    logic [7:0] sum, added;
    logic [15:0] count, random;
    logic sending, last, taken, given;

    always_comb begin
        added = sum;
        for (int j = 0; j < B; j = j + 1) added = added + s_axis0_tdata[8*j +: 8];
        for (int j = 0; j < C; j = j + 1) m_axis0_tdata[8*j +: 8] = sum + count[7:0] + 8'd3 * j;
    end

    assign s_axis0_tready = !sending && random[0];
    assign m_axis0_tlast = last && count == OUT_BEATS - 1;
    assign taken = s_axis0_tvalid && s_axis0_tready;
    assign given = m_axis0_tvalid && m_axis0_tready;
    assign stalled = s_axis0_tvalid && !s_axis0_tready ? {EDGES{1'b1}} & count : 0;
    assign frame_done = given && count == OUT_BEATS - 1;

    always_ff @(posedge clk) begin
        random <= {random[14:0], random[15] ^ random[13] ^ random[12] ^ random[10]};
        if (taken) begin
            sum <= added;
            count <= count == IN_BEATS - 1 ? 0 : count + 1'b1;
            sending <= count == IN_BEATS - 1;
            last <= s_axis0_tlast;
        end
        if (given) begin
            count <= count == OUT_BEATS - 1 ? 0 : count + 1'b1;
            if (frame_done) begin
                sending <= 1'b0;
                sum <= 0;
            end
        end
        if (given || !m_axis0_tvalid) m_axis0_tvalid <= (sending && !frame_done) && (random[1] || given);
        if (rst) begin
            sum <= 0;
            count <= 0;
            random <= 16'hace1;
            sending <= 1'b0;
            last <= 1'b0;
            m_axis0_tvalid <= 1'b0;
        end
    end
endmodule

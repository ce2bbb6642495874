// A model of the parts of a PS7 that the accelerator uses, for Icarus: FCLK0, M_AXI_GP0 driven by a list
// of commands, and S_AXI_HP0 on a memory that answers with random delays and checks the protocol.

module BUFG (input I, output O);
    assign O = I;
endmodule

module PS7 (
    output [3:0] FCLKCLK, output reg [3:0] FCLKRESETN,
    input [3:0] FCLKCLKTRIGN, input FPGAIDLEN, input [19:0] IRQF2P, input EVENTEVENTI, input EMIOSRAMINTIN,
    input [3:0] DDRARB, input [3:0] FTMTF2PTRIG,
    input DMA0DRVALID, input DMA1DRVALID, input DMA2DRVALID, input DMA3DRVALID,

    input MAXIGP0ACLK,
    output reg [31:0] MAXIGP0AWADDR, output reg [11:0] MAXIGP0AWID, output reg MAXIGP0AWVALID,
    input MAXIGP0AWREADY,
    output reg [31:0] MAXIGP0WDATA, output reg [3:0] MAXIGP0WSTRB, output reg MAXIGP0WLAST,
    output reg MAXIGP0WVALID, input MAXIGP0WREADY,
    input [11:0] MAXIGP0BID, input [1:0] MAXIGP0BRESP, input MAXIGP0BVALID, output reg MAXIGP0BREADY,
    output reg [31:0] MAXIGP0ARADDR, output reg [11:0] MAXIGP0ARID, output reg [3:0] MAXIGP0ARLEN,
    output reg MAXIGP0ARVALID, input MAXIGP0ARREADY,
    input [31:0] MAXIGP0RDATA, input [11:0] MAXIGP0RID, input MAXIGP0RLAST, input [1:0] MAXIGP0RRESP,
    input MAXIGP0RVALID, output reg MAXIGP0RREADY,

    input SAXIHP0ACLK, input SAXIHP0RDISSUECAP1EN, input SAXIHP0WRISSUECAP1EN,
    input [31:0] SAXIHP0ARADDR, input [3:0] SAXIHP0ARLEN, input [1:0] SAXIHP0ARSIZE,
    input [1:0] SAXIHP0ARBURST, input [3:0] SAXIHP0ARCACHE, input [2:0] SAXIHP0ARPROT,
    input [1:0] SAXIHP0ARLOCK, input [3:0] SAXIHP0ARQOS, input [5:0] SAXIHP0ARID, input SAXIHP0ARVALID,
    output reg SAXIHP0ARREADY,
    output reg [63:0] SAXIHP0RDATA, output reg [1:0] SAXIHP0RRESP, output reg SAXIHP0RVALID,
    input SAXIHP0RREADY,
    input [31:0] SAXIHP0AWADDR, input [3:0] SAXIHP0AWLEN, input [1:0] SAXIHP0AWSIZE,
    input [1:0] SAXIHP0AWBURST, input [3:0] SAXIHP0AWCACHE, input [2:0] SAXIHP0AWPROT,
    input [1:0] SAXIHP0AWLOCK, input [3:0] SAXIHP0AWQOS, input [5:0] SAXIHP0AWID, input SAXIHP0AWVALID,
    output reg SAXIHP0AWREADY,
    input [63:0] SAXIHP0WDATA, input [7:0] SAXIHP0WSTRB, input [5:0] SAXIHP0WID, input SAXIHP0WLAST,
    input SAXIHP0WVALID, output reg SAXIHP0WREADY,
    output reg [1:0] SAXIHP0BRESP, output reg SAXIHP0BVALID, input SAXIHP0BREADY
);
    localparam WORDS = 8192;          // 64 KiB from 0x10000000 on
    localparam BAD = 32'h1000f000;    // the last 4 KiB answer, with an error

    integer seed, gap;  // each handshake waits with a chance of gap in 8
    reg clk = 0;
    reg finished = 0;
    assign FCLKCLK = {3'b000, clk};
    always #5 clk = !clk;

    reg [63:0] memory [0:WORDS-1];
    reg [8*200-1:0] image, script, result;
    integer file, got, a, b, tries;
    reg [8*16-1:0] word;
    reg [31:0] value;

    function integer waits;
        input integer unused;
        begin
            waits = $unsigned($random(seed)) % 8 < gap;
        end
    endfunction

    task fail;
        input [8*40-1:0] text;
        begin
            $display("FAIL %0s at %0t", text, $time);
            $finish;
        end
    endtask

    // the processor: W offset value (all bytes), R offset, Y offset value (low half), V offset value
    // (burst of two: value, then value + 1), B offset (burst of 4),
    // P (until done), Q (until no soft reset), D clocks (wait)

    task write_words;
        input [31:0] offset;
        input [31:0] data;
        input [3:0] strobes;
        input [3:0] after;
        integer index;
        begin
            @(negedge clk);
            MAXIGP0AWADDR = 32'h40000000 + offset;
            MAXIGP0AWID = $random(seed);
            MAXIGP0AWVALID = 1;
            #1 while (!MAXIGP0AWREADY) @(negedge clk) #1;
            @(negedge clk) MAXIGP0AWVALID = 0;
            for (index = 0; index <= after; index = index + 1) begin
                while (waits(0)) @(negedge clk);
                MAXIGP0WDATA = data + index;
                MAXIGP0WSTRB = strobes;
                MAXIGP0WLAST = index == after;
                MAXIGP0WVALID = 1;
                #1 while (!MAXIGP0WREADY) @(negedge clk) #1;
                @(negedge clk) MAXIGP0WVALID = 0;
            end
            while (waits(0)) @(negedge clk);
            MAXIGP0BREADY = 1;
            #1 while (!MAXIGP0BVALID) @(negedge clk) #1;
            if (MAXIGP0BID !== MAXIGP0AWID) fail("write id");
            @(negedge clk) MAXIGP0BREADY = 0;
        end
    endtask

    task read_words;
        input [31:0] offset;
        input [3:0] after;
        input shown;
        integer index;
        begin
            @(negedge clk);
            MAXIGP0ARADDR = 32'h40000000 + offset;
            MAXIGP0ARID = $random(seed);
            MAXIGP0ARLEN = after;
            MAXIGP0ARVALID = 1;
            #1 while (!MAXIGP0ARREADY) @(negedge clk) #1;
            @(negedge clk) MAXIGP0ARVALID = 0;
            for (index = 0; index <= after; index = index + 1) begin
                while (waits(0)) @(negedge clk);
                MAXIGP0RREADY = 1;
                #1 while (!MAXIGP0RVALID) @(negedge clk) #1;
                value = MAXIGP0RDATA;
                if (MAXIGP0RID !== MAXIGP0ARID) fail("read id");
                if (MAXIGP0RLAST !== (index == after)) fail("read last");
                if (shown) $display("READ %0d %0d", offset + 4 * index, value);
                @(negedge clk) MAXIGP0RREADY = 0;
            end
        end
    endtask

    initial begin
        MAXIGP0AWVALID = 0;
        MAXIGP0WVALID = 0;
        MAXIGP0BREADY = 0;
        MAXIGP0ARVALID = 0;
        MAXIGP0RREADY = 0;
        FCLKRESETN = 0;
        if (!$value$plusargs("seed=%d", seed)) seed = 1;
        if (!$value$plusargs("gap=%d", gap)) gap = 0;
        if (!$value$plusargs("image=%s", image) || !$value$plusargs("script=%s", script)
            || !$value$plusargs("result=%s", result)) fail("arguments");
        $readmemh(image, memory);
        file = $fopen(script, "r");
        repeat (10) @(negedge clk);
        FCLKRESETN = 4'hf;
        repeat (10) @(negedge clk);
        got = $fscanf(file, "%s %d %d\n", word, a, b);
        while (got == 3) begin
            case (word)
                "W": write_words(a, b, 4'hf, 0);
                "Y": write_words(a, b, 4'h3, 0);
                "V": write_words(a, b, 4'hf, 1);
                "R": read_words(a, 0, 1);
                "B": read_words(a, 3, 1);
                "D": repeat (a) @(negedge clk);
                "P": begin
                    value = 0;
                    for (tries = 0; !value[1]; tries = tries + 1) begin
                        read_words(12, 0, 0);
                        if (tries == 20000) fail("transfer does not end");
                    end
                    $display("STATUS %0d", value);
                end
                "Q": begin
                    value = 2;
                    for (tries = 0; value[1]; tries = tries + 1) begin
                        read_words(8, 0, 0);
                        if (tries == 2000) fail("reset does not end");
                    end
                end
                default: fail("command");
            endcase
            got = $fscanf(file, "%s %d %d\n", word, a, b);
        end
        if (reads_open != 0 || writes_open != 0) fail("memory still owes");
        $writememh(result, memory);
        finished = 1;
        repeat (2) @(negedge clk);
        $display("END");
        $finish;
    end

    // the memory: reads; up to 8 bursts wait

    reg [31:0] read_address [0:7];
    reg [3:0] read_length [0:7];
    integer reads_open = 0, read_front = 0, read_index = 0;

    task check_burst;
        input [31:0] address;
        input [3:0] length;
        input [1:0] size;
        input [1:0] burst;
        begin
            if (^address === 1'bx || size !== 3 || burst !== 1 || address[2:0] !== 0) fail("burst");
            if (address[11:0] + 8 * length > 4088) fail("4 KiB");
            if (address < 32'h10000000 || address + 8 * length >= 32'h10000000 + 8 * WORDS) fail("address");
        end
    endtask

    always @(posedge clk) begin
        if (SAXIHP0ARVALID && SAXIHP0ARREADY) begin
            check_burst(SAXIHP0ARADDR, SAXIHP0ARLEN, SAXIHP0ARSIZE, SAXIHP0ARBURST);
            read_address[(read_front + reads_open) % 8] = SAXIHP0ARADDR;
            read_length[(read_front + reads_open) % 8] = SAXIHP0ARLEN;
            reads_open = reads_open + 1;
        end
        if (SAXIHP0RVALID && SAXIHP0RREADY) begin
            read_index = read_index + 1;
            if (read_index > read_length[read_front]) begin
                read_index = 0;
                read_front = (read_front + 1) % 8;
                reads_open = reads_open - 1;
            end
        end
        if (!SAXIHP0RVALID || SAXIHP0RREADY) begin
            SAXIHP0RVALID <= reads_open != 0 && !waits(0);
            SAXIHP0RDATA <= memory[(read_address[read_front] - 32'h10000000) / 8 + read_index];
            SAXIHP0RRESP <= read_address[read_front] >= BAD ? 2 : 0;
        end
        SAXIHP0ARREADY <= reads_open < 7 && !waits(0);
        if (!FCLKRESETN[0]) SAXIHP0RVALID <= 0;
    end

    // writes, and that what waits for a handshake stays

    reg [31:0] write_address = 0;
    integer writes_open = 0, write_after = -1, answers = 0, lane;

    always @(posedge clk) begin
        if (SAXIHP0BVALID && SAXIHP0BREADY) writes_open = writes_open - 1;
        if (SAXIHP0AWVALID && SAXIHP0AWREADY) begin
            check_burst(SAXIHP0AWADDR, SAXIHP0AWLEN, SAXIHP0AWSIZE, SAXIHP0AWBURST);
            if (write_after >= 0) fail("second write address");
            write_address = SAXIHP0AWADDR;
            write_after = SAXIHP0AWLEN;
            writes_open = writes_open + 1;
        end
        if (SAXIHP0WVALID && SAXIHP0WREADY) begin
            if (write_after < 0) fail("data without address");
            if (SAXIHP0WLAST !== (write_after == 0)) fail("write last");
            for (lane = 0; lane < 8; lane = lane + 1)
                if (SAXIHP0WSTRB[lane])
                    memory[(write_address - 32'h10000000) / 8][8*lane +: 8] = SAXIHP0WDATA[8*lane +: 8];
            write_address = write_address + 8;
            write_after = write_after - 1;
            if (write_after < 0) answers = answers + 1;
        end
        if (!SAXIHP0BVALID || SAXIHP0BREADY) begin
            SAXIHP0BVALID <= 0;
            if (answers > 0 && !waits(0)) begin
                SAXIHP0BVALID <= 1;
                SAXIHP0BRESP <= write_address > BAD ? 2 : 0;
                answers = answers - 1;
            end
        end
        SAXIHP0AWREADY <= write_after < 0 && !waits(0);
        SAXIHP0WREADY <= !waits(0);
        if (!FCLKRESETN[0]) SAXIHP0BVALID <= 0;
    end

    reg ar_waits = 0, aw_waits = 0, w_waits = 0;
    reg [35:0] ar_was, aw_was;
    reg [72:0] w_was;

    always @(posedge clk) begin
        if (ar_waits && (!SAXIHP0ARVALID || ar_was !== {SAXIHP0ARADDR, SAXIHP0ARLEN})) fail("ar moved");
        if (aw_waits && (!SAXIHP0AWVALID || aw_was !== {SAXIHP0AWADDR, SAXIHP0AWLEN})) fail("aw moved");
        if (w_waits && (!SAXIHP0WVALID || w_was !== {SAXIHP0WDATA, SAXIHP0WSTRB, SAXIHP0WLAST}))
            fail("w moved");
        ar_waits = FCLKRESETN[0] && SAXIHP0ARVALID === 1 && !SAXIHP0ARREADY;
        aw_waits = FCLKRESETN[0] && SAXIHP0AWVALID === 1 && !SAXIHP0AWREADY;
        w_waits = FCLKRESETN[0] && SAXIHP0WVALID === 1 && !SAXIHP0WREADY;
        ar_was = {SAXIHP0ARADDR, SAXIHP0ARLEN};
        aw_was = {SAXIHP0AWADDR, SAXIHP0AWLEN};
        w_was = {SAXIHP0WDATA, SAXIHP0WSTRB, SAXIHP0WLAST};
    end
endmodule

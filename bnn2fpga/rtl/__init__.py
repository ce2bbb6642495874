"""A Design as SystemVerilog, in the subset that Verilator, Icarus and yosys share."""

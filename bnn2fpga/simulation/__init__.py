"""The generated C++ and SystemVerilog, compiled and run on frames.

Knows designs, back ends and the tools that compile."""

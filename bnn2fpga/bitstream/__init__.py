"""Reads a bitstream of a 7-series chip back into a netlist, which can be simulated.

From the file to frames, to the features of each tile, to cells and the wires between them; what the bits
mean is read from the open database of the chip (prjxray's). Knows chips, not designs."""

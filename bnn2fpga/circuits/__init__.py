"""What hardware is made of, and what that costs: memories, tables of constants, popcounts, LUTs.

Knows nothing of networks or kernels."""

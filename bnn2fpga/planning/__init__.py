"""How a design is folded for a board, how fast and how large it is then; no synthesis.

Knows kernels, designs and boards."""

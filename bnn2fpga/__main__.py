"""`python -m bnn2fpga`, which torchrun needs."""

from bnn2fpga.cli.main import main

main()

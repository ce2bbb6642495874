"""`python -m bnn2fpga`, which torchrun needs."""

from bnn2fpga.cli.app import main

main()

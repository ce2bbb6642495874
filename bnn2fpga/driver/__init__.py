"""What runs on the board: numpy and pynq only, Python 3.8 or newer, nothing of the rest of bnn2fpga.

`deployment` joins these modules into one `driver.py`, in the order of MODULES. They import one another by
`from .module import name` at the top, and no two of them define the same name.
"""

from __future__ import annotations

from bnn2fpga.driver.accelerator import Accelerator
from bnn2fpga.driver.fault import AcceleratorError

MODULES = (
    *("fault", "facts", "operations", "elementary", "layers", "program"),
    *("streams", "model", "simulators", "dma", "mover", "board", "accelerator"),
)

__all__ = ["MODULES", "Accelerator", "AcceleratorError"]

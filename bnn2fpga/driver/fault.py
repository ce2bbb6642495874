"""The one exception of the driver."""

from __future__ import annotations


class AcceleratorError(RuntimeError):
    """The accelerator cannot be loaded or used, or did not answer as it must.

    The text says what, where and what to do; `registers` holds the hardware's registers by name, as they
    were when it happened, where the hardware was asked.
    """

    def __init__(self, text: str, registers: dict[str, int] | None = None) -> None:
        self.registers = dict(registers or {})
        dump = "".join(f"\n  {name} 0x{value:08x}" for name, value in self.registers.items())
        super().__init__(text + (f"; registers:{dump}" if dump else ""))

"""Runs kernels on packed frames, a batch of them on every core."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

from bnn2fpga.design.integers import Ints
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.packed_frames import PackedFrames, is_narrow, packs
from bnn2fpga.design.stream import Stream
from bnn2fpga.packed.library import Library

CACHE = 1 << 21
"""Bytes of the largest stream of the frames that a core simulates at once."""

MOST_CHANNELS = 1 << 15
"""Of a kernel's output."""


@dataclass(frozen=True)
class Stop:
    """A kernel, and which of the streams are its inputs and outputs."""

    kernel: Kernel
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class PackedRun:
    """Kernels in topological order; stream `source` comes from outside, `sink` goes there."""

    library: Library
    stops: tuple[Stop, ...]
    streams: tuple[Stream, ...]
    source: int
    sink: int

    def outputs(self, frames: Ints) -> list[Ints]:
        """Those of the frames (N, *shape), batch after batch."""
        cores = cpu_count() or 1
        batch = min(max(1, CACHE // max(map(_bytes, self.streams))), max(1, -(-len(frames) // cores)))
        with ThreadPoolExecutor(cores) as pool:
            return list(pool.map(lambda at: self._run(frames[at : at + batch]), range(0, len(frames), batch)))

    def _run(self, frames: Ints) -> Ints:
        passing = {self.source: PackedFrames.of(self.library, self.streams[self.source].type, frames)}
        for stop in self.stops:
            arrived = [
                passing.pop(place).viewed(stream.shape)
                for place, stream in zip(stop.inputs, stop.kernel.inputs, strict=True)
            ]
            passing |= self._sent(stop, through(stop.kernel, *arrived))
        return passing[self.sink].arrays

    def _sent(self, stop: Stop, results: Sequence[PackedFrames]) -> dict[int, PackedFrames]:
        ends = zip(stop.outputs, results, strict=True)
        return {place: result.viewed(self.streams[place].shape) for place, result in ends}


def through(kernel: Kernel, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
    """What `kernel` makes of frames, one for each input.

    In its own way where int32 holds all that passes, and a pixel's results have room on a thread's stack.
    """
    narrow = all(is_narrow(stream.type) for stream in (*kernel.inputs, *kernel.outputs))
    small = all(stream.channels <= MOST_CHANNELS for stream in kernel.outputs)
    return kernel.packed(*frames) if narrow and small else kernel.unpacked(*frames)


def _bytes(stream: Stream) -> int:
    """Of a frame, about."""
    return -(-stream.size * stream.type.bits // 8) if packs(stream.type) else 4 * stream.size

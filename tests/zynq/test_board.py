"""The Zynq files around a small core, simulated with a memory that answers at random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.zynq.board import DIGEST, SIZE, Board, Shape, has_icarus

pytestmark = pytest.mark.skipif(not has_icarus(), reason="Icarus Verilog (iverilog, vvp) is not installed")

OUT = SIZE // 2
ID, TAG, CONTROL, STATUS, CLOCKS, FRAMES, BUSY_CLOCKS = 0, 4, 8, 0xC, 0x10, 0x18, 0x34


def untouched(memory: np.ndarray, start: int) -> bool:
    """Whether 256 bytes from `start` on still hold the pattern."""
    return bool((memory[start : start + 256] == 0xA5).all())


@pytest.mark.parametrize(
    ("in_bytes", "out_bytes"),
    [
        (1, 1),
        (2, 3),
        (3, 2),
        (8, 10),
        (10, 8),
        (16, 19),
        (19, 16),
        (1, 24),
        (40, 1),
        (24, 12),
        (98, 7),
        (7, 98),
    ],
)
def test_frames_come_back_whole(in_bytes: int, out_bytes: int, tmp_path: Path) -> None:
    """Three transfers of 1, 7 and many frames at random delays; every byte of memory is right."""
    shape = Shape(in_bytes, out_bytes, in_beats=5, out_beats=7)
    board = Board.of(shape, tmp_path)
    expected, at, into = [], 0, OUT
    many = min(4000 // (5 * in_bytes), 4000 // (7 * out_bytes))
    for seed, count in enumerate((1, 7, many)):
        frames = shape.random(count, seed)
        answers = shape.answer(frames).reshape(-1)
        board.start(frames, at, answers.size, into)
        board.do("P")
        expected.append((into, answers))
        at += -(-frames.size // 128) * 128
        into += -(-(answers.size + 256) // 128) * 128
    board.read([FRAMES, STATUS])
    for seed, gap in ((1, 0), (2, 3), (3, 6)):
        outcome = board.run(seed, gap)
        for start, answers in expected:
            assert (outcome.memory[start : start + answers.size] == answers).all()
            assert untouched(outcome.memory, start + answers.size)
        assert outcome.statuses == [2, 2, 2]
        assert outcome.reads == [(FRAMES, 8 + many), (STATUS, 2)]


@pytest.mark.parametrize("size", [1, 3, 8, 10, 16, 19, 98])
def test_the_core_waits_for_the_memory_only(size: int, tmp_path: Path) -> None:
    """A word a clock or a beat a clock, whichever is slower; a word of a beat that is longer takes one clock.

    The memory takes 16 words in 18 clocks.
    """
    beats = 8000 // size
    clocks = max(beats * size // 8, beats * -(-size // 8))
    for into, shape in enumerate((Shape(1, size, source="eager.sv"), Shape(size, 1, source="eager.sv"))):
        board = Board.of(shape, tmp_path / str(into))
        data = np.zeros(beats * size if into else 1, np.uint8)
        board.start(data, 0, 1 if into else beats * size, OUT)
        board.do("P")
        board.read([BUSY_CLOCKS])
        ((_, busy),) = board.run().reads
        most = clocks if into else max(clocks, beats * size // 8 * 18 // 16)
        assert clocks <= busy < most + 60


@pytest.mark.parametrize("edges", [2, 5, 40])
def test_stalls_are_counted(edges: int, tmp_path: Path) -> None:
    shape = Shape(2, 2, in_beats=100, edges=edges)
    board = Board.of(shape, tmp_path)
    frames = shape.random(9, 0)
    offsets = [0x100 + 4 * index for index in range(edges)]
    for clear in (False, True):
        if clear:
            board.do("W", CONTROL, 4)
            board.do("D", 2 * edges)
            board.read([FRAMES])
        board.start(frames, 0, shape.answer(frames).size, OUT)
        board.do("P")
        board.do("D", edges)
    board.read([*offsets, 0x100 + 4 * edges, FRAMES])
    outcome = board.run(gap=2)
    assert outcome.reads[0] == (FRAMES, 0)
    assert outcome.reads[1 : 1 + edges] == list(zip(offsets, outcome.stalls, strict=True))
    assert outcome.stalls[0] > 100
    assert outcome.reads[-2:] == [(0x100 + 4 * edges, 0), (FRAMES, 9)]


def test_registers(tmp_path: Path) -> None:
    """What is constant, what keeps its value, what ignores writes; bursts; the clock counter."""
    board = Board.of(Shape(3, 2), tmp_path)
    board.read([ID, TAG, 0x1C, 0x20, 0x38, 0x3C, 0xFC])
    board.do("W", 0x24, 0x1234_56FF)
    board.do("Y", 0x28, 77)
    board.do("W", 0x1C, 99)
    board.do("V", 0x2C, 0x100)
    board.read([0x2C, 0x30])
    board.do("B", 0x1C)
    board.do("B", CLOCKS - 4)
    board.do("D", 100)
    board.do("B", CLOCKS - 4)
    values = [value for _, value in board.run(gap=2).reads]
    assert values[:7] == [0x4232_4650, int(DIGEST[:8], 16), 12, 6, 3, 0, 0]
    assert values[7:9] == [0x100, 0x101]
    assert values[9:13] == [12, 6, 0x1234_5680, 0]
    first, second = values[13:17], values[17:21]
    assert first[2] == second[2] == 0
    assert 100 < second[1] - first[1] < 200


@pytest.mark.parametrize("wait", [1, 30, 77, 150, 400])
def test_soft_reset_in_the_middle_of_a_transfer(wait: int, tmp_path: Path) -> None:
    """The mover finishes what it asked for, then everything starts afresh."""
    shape = Shape(10, 19, in_beats=5, out_beats=7)
    board = Board.of(shape, tmp_path)
    frames = shape.random(50, 0)
    answers = shape.answer(frames).reshape(-1)
    board.start(frames, 0, answers.size, OUT)
    board.do("D", wait)
    board.do("W", CONTROL, 2)
    board.do("Q")
    board.read([STATUS])
    board.start(frames[:20], 8192, 20 * 133, OUT + 16384)
    board.do("P")
    for gap in (0, 5):
        outcome = board.run(gap=gap)
        assert outcome.reads[0] == (STATUS, 0)
        assert (outcome.memory[OUT + 16384 :][: 20 * 133] == answers[: 20 * 133]).all()
        assert outcome.statuses == [2]


def test_errors_of_the_memory_are_reported(tmp_path: Path) -> None:
    """Each until the next transfer."""
    shape = Shape(3, 5)
    board = Board.of(shape, tmp_path)
    frames = shape.random(3, 0)
    bad = SIZE - 4096
    for source, destination in ((0, OUT), (bad, OUT), (0, bad), (0, OUT)):
        board.start(frames, source, 3 * 15, destination)
        board.do("P")
    assert board.run(gap=2).statuses == [0b00010, 0b00110, 0b01010, 0b00010]


@pytest.mark.parametrize(("asked", "status"), [(9, 0b10010), (11, 0b10001)])
def test_an_output_of_another_length(asked: int, status: int, tmp_path: Path) -> None:
    """One frame too few ends, one too many does not; both say so, and a soft reset helps."""
    shape = Shape(8, 8, in_beats=2, out_beats=2)
    board = Board.of(shape, tmp_path)
    frames = shape.random(10, 0)
    board.start(frames, 0, 16 * asked, OUT)
    board.do("D", 600)
    board.read([STATUS])
    board.do("W", CONTROL, 2)
    board.do("Q")
    board.read([STATUS])
    board.start(frames, 0, 160, OUT + 8192)
    board.do("P")
    outcome = board.run()
    assert [value for _, value in outcome.reads] == [status, 0] and outcome.statuses == [2]
    assert untouched(outcome.memory, OUT + 16 * asked)
    assert (outcome.memory[OUT + 8192 :][:160] == shape.answer(frames).reshape(-1)).all()

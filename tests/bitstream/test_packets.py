"""The file and its packets: headers, frames in the chip's order, both codes; on a chip of five frames."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga.bitstream.packets import (
    ECC_WORD,
    FRAME_WORDS,
    SYNC,
    Header,
    extend_crc,
    frame_codes,
    part_of,
    read_frames,
    read_header,
)
from bnn2fpga.bitstream.part import Part, Row
from bnn2fpga.errors import BitstreamError, ConfigError, ToolError
from tests.bitstream.recorded import PART, unpack

TOY = Part("toy-1", 0x1234, (Row(0, (2, 1)), Row(1 << 22, (2,))))
ADDRESSES = [0, 1, 1 << 7, 1 << 22, 1 << 22 | 1]
CRC, FAR, FDRI, CMD, IDCODE, RCRC = 0, 1, 2, 4, 12, 7


def words_of(seed: int = 0) -> np.ndarray:
    """Five frames whose codes are right."""
    words = np.random.default_rng(seed).integers(0, 1 << 32, (5, FRAME_WORDS), np.uint32)
    words[:, ECC_WORD] &= 0xFFFFE000
    words[:, ECC_WORD] |= frame_codes(words)
    return words


def padded(words: np.ndarray) -> np.ndarray:
    """With the frames of nothing after each row, of three frames and of two."""
    nothing = np.zeros((2, FRAME_WORDS), np.uint32)
    return np.concatenate([words[:3], nothing, words[3:], nothing])


def packets(writes: Iterable[tuple[int, Iterable[int]]], part: str = "toy-1") -> bytes:
    """A .bit file of these writes."""
    body = [0x20000000]
    for register, values in writes:
        data = [int(value) for value in values]
        if len(data) > 2047:
            raise ValueError("one packet of type 1 only")
        body += [1 << 29 | 2 << 27 | register << 13 | len(data), *data]
    stream = b"\xff" * 8 + SYNC + np.array(body, ">u4").tobytes()
    texts = ("toy.frames", part, "2026/11/30", "12:00:00")
    fields = b"".join(
        bytes([key]) + (len(text) + 1).to_bytes(2, "big") + text.encode() + b"\0"
        for key, text in zip(b"abcd", texts, strict=True)
    )
    header = bytes.fromhex("00090ff00ff00ff00ff0000001") + fields
    return header + b"e" + len(stream).to_bytes(4, "big") + stream


def whole(words: np.ndarray, crc: int | None = None) -> bytes:
    writes: list[tuple[int, Iterable[int]]] = [(CMD, [RCRC]), (IDCODE, [0x1234]), (FAR, [0])]
    writes.append((FDRI, padded(words).reshape(-1)))
    return packets([*writes, *([(CRC, [crc])] if crc is not None else [])])


def right_crc(words: np.ndarray) -> int:
    crc = extend_crc(0, IDCODE, np.array([0x1234], np.uint32))
    crc = extend_crc(crc, FAR, np.array([0], np.uint32))
    return extend_crc(crc, FDRI, padded(words).reshape(-1))


def read(data: bytes, tmp_path: Path) -> tuple[Header, np.ndarray, list[int]]:
    (tmp_path / "toy.bit").write_bytes(data)
    header, frames = read_frames(tmp_path / "toy.bit", TOY)
    return header, frames.words, frames.addresses.tolist()


def test_frames_in_the_order_of_the_chip(tmp_path: Path) -> None:
    header, words, addresses = read(whole(words_of()), tmp_path)
    assert header == Header("toy.frames", "toy-1", "2026/11/30", "12:00:00")
    np.testing.assert_array_equal(words, words_of())
    assert addresses == ADDRESSES and part_of(tmp_path / "toy.bit") == "toy-1"


def test_frames_in_two_pieces(tmp_path: Path) -> None:
    """An address in the middle of the chip; frames that follow it."""
    words = words_of()
    pieces = [(FAR, [1 << 22]), (FDRI, words[3:].reshape(-1)), (FAR, [0]), (FDRI, words[:3].reshape(-1))]
    np.testing.assert_array_equal(read(packets(pieces), tmp_path)[1], words)


def test_the_crc_of_the_packets() -> None:
    """Castagnoli's polynomial over 32 bits of data and 5 of the register; zeros leave zero."""
    none, one = np.array([0], np.uint32), np.array([1 << 31], np.uint32)
    assert extend_crc(0, 0, none) == 0
    assert extend_crc(0, 1 << 4, none) == 0x82F63B78
    assert extend_crc(0xFFFFFFFF, 0, none) == 0xC631E365
    assert extend_crc(extend_crc(0, 2, one), 2, one) == extend_crc(0, 2, np.array([1 << 31] * 2, np.uint32))


def test_a_crc_is_checked(tmp_path: Path) -> None:
    words = words_of()
    read(whole(words, right_crc(words)), tmp_path)
    with pytest.raises(BitstreamError, match=r"toy.bit: its CRC is 00000001, that of its data .*; it is dam"):
        read(whole(words, 1), tmp_path)


def test_a_flipped_bit_is_found_by_the_code_of_its_frame(tmp_path: Path) -> None:
    """Every bit of a frame counts, those of the code included."""
    for word, bit in ((0, 0), (17, 31), (ECC_WORD, 3), (ECC_WORD, 20), (FRAME_WORDS - 1, 7)):
        words = words_of()
        words[3, word] ^= np.uint32(1 << bit)
        message = r"toy.bit: frame 00400000 has a wrong error correction code; the file is damaged"
        with pytest.raises(BitstreamError, match=message):
            read(whole(words, right_crc(words)), tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK", "does not start with the header of a .bit file"),
        (packets([])[:-4], r"the header tells \d+ bytes of configuration, there are"),
        (packets([(FAR, [0])]), "frame 00000000 is not in the file"),
        (packets([(IDCODE, [0x99])]), r"is for the chip with IDCODE 00000099, not 00001234 of toy-1"),
        (
            packets([(FAR, [2]), (FDRI, [0] * FRAME_WORDS)]),
            r"101 words for frame 00000002; toy-1 has no such",
        ),
        (packets([(FAR, [0]), (FDRI, [0] * 12 * FRAME_WORDS)]), "has 3 frames too many"),
        (
            packets([(FAR, [])])[:-4] + b"\xe0\0\0\0",
            r"word 1 after synchronization is [0-9a-f]{8}, no packet",
        ),
    ],
)
def test_what_is_no_bitstream_of_this_chip(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(BitstreamError, match="toy.bit: " + message) as caught:
        read(data, tmp_path)
    assert caught.value.exit_code == 4


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    data = whole(words_of())
    header, body = read_header(data, "toy")
    assert header.part == "toy-1" and body.count(SYNC) == 1
    cut = data[: len(data) - 400]
    size = len(body) - 400
    cut = cut.replace(len(body).to_bytes(4, "big"), size.to_bytes(4, "big"))
    with pytest.raises(BitstreamError, match=r"toy.bit: ends within a packet of 909 words"):
        read(cut, tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.bit: No such file"):
        part_of(tmp_path / "none.bit")


def test_the_rows_of_a_part(tmp_path: Path) -> None:
    """Top before bottom, block RAM after the rest."""
    column = {"frame_count": 2}
    buses = {"CLB_IO_CLK": {"configuration_columns": {"0": column}}}
    ram = {"BLOCK_RAM": {"configuration_columns": {"0": {"frame_count": 1}}}}
    regions = {
        "top": {"rows": {"0": {"configuration_buses": buses | ram}}},
        "bottom": {"rows": {"0": {"configuration_buses": buses}}},
    }
    (tmp_path / "toy-1").mkdir()
    path = tmp_path / "toy-1/part.json"
    path.write_text(json.dumps({"global_clock_regions": regions, "idcode": 7}))
    part = Part.read(tmp_path, "toy-1")
    nothing = [None, None]
    assert part.frame_order() == [0, 1, *nothing, 1 << 22, 1 << 22 | 1, *nothing, 1 << 23, *nothing]
    path.write_text("{}")
    with pytest.raises(ToolError, match=r"part.json: is not prjxray's description of a part"):
        Part.read(tmp_path, "toy-1")
    with pytest.raises(ToolError, match=r"part.json: No such file or directory; it is part of prjxray-db"):
        Part.read(tmp_path, "other")


def test_the_recorded_file_of_the_real_tools(tmp_path: Path) -> None:
    bitstream = unpack(tmp_path).bitstream
    header, body = read_header(bitstream.read_bytes(), bitstream.name)
    assert header.part == PART and SYNC in body

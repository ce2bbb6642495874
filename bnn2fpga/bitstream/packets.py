"""The file that configures a 7-series chip: its header, its packets and the frames that they write.

After AMD UG470, chapter 5. Both codes that protect a bitstream are checked: the CRC of the packets, where the
file has one, and the error correction code in each frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bnn2fpga.bitstream.part import Part
from bnn2fpga.errors import BitstreamError, ConfigError

FRAME_WORDS = 101
ECC_WORD = 50
"""Where a frame holds its error correction code, in the lower 13 bits."""
ECC_MASK = 0x1FFF
SYNC = b"\xaa\x99\x55\x66"
_CRC, _FAR, _FDRI, _CMD, _IDCODE = 0, 1, 2, 4, 12
_RCRC = 7
_WRITE = 2
_KNOWN_HEADER = bytes.fromhex("00090ff00ff00ff00ff0000001")
Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Header:
    """What the file says of itself: `design` and the tool's remarks, the part, the date and time."""

    design: str
    part: str
    date: str
    time: str


@dataclass(frozen=True, eq=False)
class Frames:
    """The configuration memory: `words` (F, 101) of the frames at `addresses` (F,), in the chip's order."""

    addresses: npt.NDArray[np.int64]
    words: Words


def read_header(data: bytes, name: str) -> tuple[Header, bytes]:
    """The header of a .bit file, and the configuration data after it.

    Raises a BitstreamError that starts with `name`.
    """
    if not data.startswith(_KNOWN_HEADER):
        raise BitstreamError(f"{name}: does not start with the header of a .bit file")
    at, texts = len(_KNOWN_HEADER), []
    for key in b"abcd":
        if len(data) < at + 3 or data[at] != key:
            raise BitstreamError(f"{name}: field {chr(key)!r} of the header is missing")
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        texts.append(data[at + 3 : at + 3 + size].rstrip(b"\0").decode("latin-1"))
        at += 3 + size
    size = int.from_bytes(data[at + 1 : at + 5], "big")
    body = data[at + 5 :]
    if data[at : at + 1] != b"e" or len(body) != size:
        raise BitstreamError(f"{name}: the header tells {size} bytes of configuration, there are {len(body)}")
    return Header(*texts), body


def part_of(path: Path) -> str:
    """The part that a .bit file says that it is for."""
    return read_header(_content(path), path.name)[0].part


def read_frames(path: Path, part: Part) -> tuple[Header, Frames]:
    """The header of a .bit file for `part`, and all frames of the chip.

    Raises a BitstreamError for another chip, a CRC or an error correction code that is wrong, frames that
    do not exist or are missing, and packets that are cut off.
    """
    header, body = read_header(_content(path), path.name)
    order = part.frame_order()
    index = {address: place for place, address in enumerate(order) if address is not None}
    found = np.zeros((len(order), FRAME_WORDS), np.uint32)
    written = np.zeros(len(order), bool)
    crc, address = 0, 0
    for register, words in _writes(body, path.name):
        if register == _IDCODE and int(words[0]) != part.idcode:
            raise BitstreamError(
                f"{path.name}: is for the chip with IDCODE {int(words[0]):08x}, not {part.idcode:08x} of "
                f"{part.name}"
            )
        if register == _CRC:
            if int(words[0]) != crc:
                raise BitstreamError(
                    f"{path.name}: its CRC is {int(words[0]):08x}, that of its data {crc:08x}; it is damaged"
                )
            crc = 0
            continue
        crc = extend_crc(crc, register, words)
        if register == _CMD and int(words[0]) == _RCRC:
            crc = 0
        elif register == _FAR:
            address = int(words[0])
        elif register == _FDRI and len(words):
            if address not in index or len(words) % FRAME_WORDS:
                raise BitstreamError(
                    f"{path.name}: {len(words)} words for frame {address:08x}; {part.name} has no such frames"
                )
            start, count = index[address], len(words) // FRAME_WORDS
            if start + count > len(order):
                raise BitstreamError(f"{path.name}: has {start + count - len(order)} frames too many")
            found[start : start + count] = words.reshape(count, FRAME_WORDS)
            written[start : start + count] = True
    real = np.array([address is not None for address in order])
    if not written[real].all():
        missing = order[int(np.flatnonzero(real & ~written)[0])]
        raise BitstreamError(f"{path.name}: frame {missing:08x} is not in the file")
    frames = Frames(np.array([address for address in order if address is not None]), found[real])
    _check_codes(frames, path.name)
    return header, frames


def frame_codes(words: Words) -> npt.NDArray[np.uint32]:
    """The error correction code (F,) of frames (F, 101); of the word that holds it the rest counts."""
    place = np.arange(FRAME_WORDS)
    base = 32 * place + np.where(place > 0x25, 0x1360, np.where(place > 0x6, 0x1340, 0x1320))
    values = (base[:, None] + np.arange(32)).astype(np.uint32)
    data = words.copy()
    data[:, ECC_WORD] &= np.uint32(~ECC_MASK & 0xFFFFFFFF)
    code = np.zeros(len(words), np.uint32)
    for bit in range(32):
        ones = (data >> np.uint32(bit)) & np.uint32(1)
        code ^= np.bitwise_xor.reduce(ones * values[:, bit], axis=1)
    parity = code & np.uint32(0xFFF)
    for shift in (8, 4, 2, 1):
        parity = parity ^ (parity >> np.uint32(shift))
    return code ^ ((parity & np.uint32(1)) << np.uint32(12))


def extend_crc(crc: int, register: int, words: Words) -> int:
    """The CRC (Castagnoli's, least bit first) after writing `words` to a register of the configuration."""
    for word in words.tolist():
        crc ^= word
        crc = _BYTE[3][crc & 255] ^ _BYTE[2][crc >> 8 & 255] ^ _BYTE[1][crc >> 16 & 255] ^ _BYTE[0][crc >> 24]
        crc ^= register
        crc = crc >> 5 ^ _FIVE[crc & 31]
    return crc


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error


def _writes(body: bytes, name: str) -> Iterator[tuple[int, Words]]:
    """Every write to a register, from the first synchronization on."""
    start = body.find(SYNC)
    if start < 0:
        raise BitstreamError(f"{name}: has no synchronization word")
    words = np.frombuffer(body[start + 4 : len(body) - (len(body) - start) % 4], ">u4").astype(np.uint32)
    at, register = 0, 0
    while at < len(words):
        packet = int(words[at])
        kind, operation = packet >> 29, packet >> 27 & 3
        if kind == 1:
            register, count = packet >> 13 & 31, packet & 0x7FF
        elif kind == 2:
            count = packet & 0x7FFFFFF
        else:
            raise BitstreamError(f"{name}: word {at} after synchronization is {packet:08x}, no packet")
        at += 1
        if at + count > len(words):
            raise BitstreamError(f"{name}: ends within a packet of {count} words")
        if operation == _WRITE and count:
            yield register, words[at : at + count]
        at += count if operation == _WRITE else 0


def _check_codes(frames: Frames, name: str) -> None:
    wrong = np.flatnonzero(frame_codes(frames.words) != (frames.words[:, ECC_WORD] & ECC_MASK))
    if len(wrong):
        raise BitstreamError(
            f"{name}: frame {int(frames.addresses[wrong[0]]):08x} has a wrong error correction code"
            f"{f', and {len(wrong) - 1} more' if len(wrong) > 1 else ''}; the file is damaged"
        )


def _shifted(value: int, bits: int) -> int:
    for _ in range(bits):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_BYTE = tuple(tuple(_shifted(byte, 8 * (place + 1)) for byte in range(256)) for place in range(4))
_FIVE = tuple(_shifted(value, 5) for value in range(32))

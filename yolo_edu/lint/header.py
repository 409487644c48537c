"""What an image file says about itself before its pixels: kind, channels, bits, and how it is to be turned."""

import struct
from pathlib import Path
from typing import NamedTuple

READ = 1 << 18  # bytes; the EXIF segment of a JPEG is at most 64 KiB
MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF8", "GIF"),
)
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # color type → channels (a palette's colors are three)
SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers of segments that hold the size


class Header(NamedTuple):
    """Unknown parts are "", 0 and 1."""

    kind: str = ""  # JPEG, PNG, BMP, TIFF, GIF, WebP
    channels: int = 0
    bits: int = 0  # a channel
    turn: int = 1  # EXIF orientation, 1 to 8; 1 is upright


def read_header(path: Path) -> Header:
    """The header of an image file. Never raises; details are read from JPEG and PNG only."""
    try:
        with path.open("rb") as file:
            data = file.read(READ)
        return _parse(data)
    except (OSError, ValueError, IndexError, struct.error):  # no file, or a damaged one
        return Header()


def _parse(data: bytes) -> Header:
    kind = next((kind for magic, kind in MAGIC if data.startswith(magic)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "WebP"
    if kind == "PNG":
        bits, color = data[24], data[25]
        return Header(kind, PNG_CHANNELS.get(color, 0), bits)
    return _jpeg(data) if kind == "JPEG" else Header(kind)


def _jpeg(data: bytes) -> Header:
    """Walk from segment to segment up to the one that holds the size (ITU T.81, B.1.1)."""
    at, turn = 2, 1
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + length]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            turn = _orientation(body[6:])
        if marker in SIZES:
            return Header("JPEG", body[5], body[0], turn)
        at += 2 + length
    return Header("JPEG", turn=turn)


def _orientation(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory (TIFF 6.0); 1 if there is none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    (at,) = struct.unpack(f"{order}I", tiff[4:8])
    (count,) = struct.unpack(f"{order}H", tiff[at : at + 2])
    for start in range(at + 2, at + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack(f"{order}HHIH", tiff[start : start + 10])
        if tag == 0x0112:
            return value if 1 <= value <= 8 else 1
    return 1

"""Broken versions of good files: bytes, words, lines, encodings."""

from numpy.random import Generator

# Nothing that leads out of the folder: the whole disk as a data set is legal, and takes too long.
WORDS = (
    ["", "0", "1", "-1", "2", "3", "0.5", ".5", "1.0", "1e-9", "-0.0", "nan", "inf", "-inf", "1e400", "1e308", "0x1"]
    + ["1_0", "1,5", ",", ";", "½", "٣", "０", "\0", "\x85", "\u2028", "\u00a0", "\ufeff", "\x1b[31m", "cat", "'", '"']
    + ["9" * 400, "0." + "3" * 5000, "-", "+", "+0.5", "1e", "--1", "#", "{", "[", ":", "nowhere/..", "!!python"]
)
ENDS = ("\n", "\n", "\n", "\n", "\n", "\n", "\r\n", "\r", "\n\n", " \n", "\t\n", "\v", "\f", "")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252")


def pick(random: Generator, choices: "list[str] | tuple[str, ...]") -> str:
    return choices[int(random.integers(len(choices)))]


def text(random: Generator, content: str, most: int = 4) -> bytes:
    """A text file after one to `most` accidents."""
    lines = [line.split(" ") for line in content.split("\n")]
    for _ in range(int(random.integers(1, most + 1))):
        line = lines[int(random.integers(len(lines)))]
        at = int(random.integers(len(line) + 1))
        match int(random.integers(12)):
            case 0 | 6 | 7 | 8 | 9 | 10 | 11:  # most accidents change one number
                line[at : at + 1] = [pick(random, WORDS)]
            case 1:
                line.insert(at, pick(random, WORDS))
            case 2:
                del line[at : at + 1]
            case 3:
                lines.insert(int(random.integers(len(lines) + 1)), list(line))
            case 4:
                line[:] = [pick(random, [" ", "\t", "  ", ",", ";", ""]).join(line)]
            case _:
                line.extend(line * int(random.integers(1, 40)))
    joined = pick(random, ENDS).join(" ".join(line) for line in lines)
    data = joined.encode(pick(random, ENCODINGS) if random.random() < 0.2 else "utf-8", errors="replace")
    return binary(random, data) if random.random() < 0.15 else data


def binary(random: Generator, content: bytes) -> bytes:
    """Any file after one to four accidents of a disk or a network."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        at = int(random.integers(len(data) + 1))
        length = int(random.integers(1, 64))
        match int(random.integers(6)):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = random.bytes(length)
            case 3:
                data[at : at + length] = random.bytes(length)
            case 4 if at < len(data):
                data[at] ^= 1 << int(random.integers(8))
            case _:
                data[at : at + length] = bytes(length)
    return bytes(data)

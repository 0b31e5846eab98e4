"""Archives that must be refused: each by its name, with a part of what the refusal says."""

from __future__ import annotations

import gzip
from pathlib import Path

from small_bundle import entry, padded, tar

from erpose_edge.runtime.safe_tar import BLOCK, END, Limits, header

LIMITS = Limits(files=20, file_bytes=5000, total_bytes=8000)
GOOD = entry("a")
PLAIN = "got a path that is not of plain names"


def _pax(*records: str) -> bytes:
    text = "".join(f"{len(r) + 4} {r}\n" for r in records).encode()
    return entry("PaxHeader", text, kind=b"x")


def hostile_tars(outside: Path) -> dict[str, tuple[bytes, str]]:
    """Return content and a part of the error of archives; some aim at ``outside``, a folder."""
    far = str(outside / "evil")
    up = "../" * 5
    return {
        "an absolute path": (entry(far[-99:] if len(far) > 99 else far) + END, PLAIN),
        "a path to the root": (entry("/evil") + END, PLAIN),
        "a path upwards": (entry(f"{up}evil") + END, PLAIN),
        "a path upwards from inside": (entry("a/../../evil") + END, PLAIN),
        "only upwards": (entry("..") + END, PLAIN),
        "a path upwards in the prefix": (entry("evil", prefix=b"../..") + END, PLAIN),
        "a path from here": (entry("./a") + END, PLAIN),
        "an empty folder's name": (entry("a//b") + END, PLAIN),
        "a folder's slash": (entry("a/") + END, PLAIN),
        "no name": (entry("") + END, PLAIN),
        "a backslash": (entry("..\\evil") + END, PLAIN),
        "a drive letter": (entry("C:evil") + END, PLAIN),
        "a line end": (entry("a\nb") + END, PLAIN),
        "an escape sequence": (entry("a\x1b[2J") + END, PLAIN),
        "a zero in a name": (entry(b"a\x00/../b") + END, PLAIN),
        "letters beyond ASCII": (entry("ä") + END, PLAIN),
        "bytes that are no text": (entry(b"\xff\xfe") + END, PLAIN),
        "a hidden file": (entry(".bashrc") + END, PLAIN),
        "an option as a name": (entry("-rf") + END, PLAIN),
        "a dot at the end": (entry("a.") + END, PLAIN),
        "a blank": (entry("a b") + END, PLAIN),
        "a symbolic link out": (
            entry("l", b"", kind=b"2", link=str(outside).encode()[:99]) + entry("l/evil") + END,
            "expected a plain file, got a symbolic link",
        ),
        "a hard link out": (
            entry("l", b"", kind=b"1", link=str(outside / "kept").encode()[:99]) + END,
            "got a hard link",
        ),
        "a plain file that names a link": (
            entry("l", b"", link=b"/etc/passwd") + END,
            "expected the header that erpose-edge writes",
        ),
        "a character device": (entry("d", b"", kind=b"3", device=b"1") + END, "character device"),
        "a block device": (entry("d", b"", kind=b"4") + END, "got a block device"),
        "a fifo": (entry("f", b"", kind=b"6") + END, "got a fifo"),
        "a folder": (entry("d", b"", kind=b"5") + END, "got an entry for a folder"),
        "a contiguous file": (entry("c", kind=b"7") + END, "got a contiguous file"),
        "an old plain file": (entry("o", kind=b"\x00") + END, r"got an entry of kind b'\x00'"),
        "a kind of the future": (entry("z", kind=b"Z") + END, "got an entry of kind b'Z'"),
        "a sparse file": (entry("s", kind=b"S", size=b"77777777777\x00") + END, "a sparse file"),
        "a GNU long name": (entry("././@LongLink", b"../evil", kind=b"L") + GOOD + END, "GNU long"),
        "a GNU long link": (entry("././@LongLink", b"/etc", kind=b"K") + GOOD + END, "GNU long li"),
        "a pax path": (_pax("path=../../evil") + GOOD + END, "got a pax header"),
        "a pax size": (_pax("size=99999999999") + GOOD + END, "got a pax header"),
        "a pax sparse file": (_pax("GNU.sparse.realsize=99999999999") + GOOD + END, "a pax header"),
        "a global pax header": (entry("g", b"", kind=b"g") + GOOD + END, "got a global pax header"),
        "the same file twice": (tar(("a", b"1"), ("a", b"2")), "got the path of another file"),
        "names that differ in case": (tar(("a/b", b""), ("a/B", b"")), "like a/b, but for its cas"),
        "folders that differ in case": (
            tar(("a/b", b""), ("A/c", b"")),
            "like a, but for its case",
        ),
        "a file below a file": (tar(("a", b""), ("a/b", b"")), "got a file for a folder"),
        "a file in a folder's place": (tar(("a/b", b""), ("a", b"")), "got the path of a folder"),
        "too many folders": (tar(("/".join("a" * 13), b"")), "got 13 folders in folders"),
        "a path too long": (
            entry("n" * 100, prefix=b"p" * 70 + b"/" + b"q" * 80) + END,
            "got a path of 252 characters",
        ),
        "a name too long": (entry("n" * 2, prefix=b"p" * 101) + END, PLAIN),
        "too many files": (
            tar(*((f"f{i}", b"") for i in range(21))),
            "f20: expected at most 20 files, got 21",
        ),
        "a file too large": (header("a", 5001) + END, "expected at most 5000 bytes, got 5001"),
        "a file as large as a tar can say": (header("a", 8**11 - 1), "got 8589934591"),
        "too many bytes": (
            tar(*((f"f{i}", bytes(4001)) for i in range(2))),
            "f1: expected at most 8000 bytes in all, got 8002",
        ),
        "a size beyond octal": (
            entry("a", size=b"\x80" + b"\xff" * 11) + END,
            "expected a size in octal digits",
        ),
        "a size below zero": (entry("a", size=b"-0000000001\x00") + END, "a size in octal digits"),
        "a size in another spelling": (entry("a", size=b"       0001 ") + END, "in octal digits"),
        "cut short in a header": (header("a", 1)[:100], "got one that is cut short"),
        "cut short in a file": (header("a", 600) + bytes(BLOCK), "got one that is cut short"),
        "cut short behind a file": (GOOD, "got one that is cut short"),
        "one block at the end": (GOOD + bytes(BLOCK), "got one that is cut short"),
        "a file behind an empty block": (GOOD + bytes(BLOCK) + GOOD, "two empty blocks at the end"),
        "a byte behind the end": (tar(("a", b"")) + b"\x00", "nothing after the end"),
        "a second archive": (tar(("a", b"")) + tar(("b", b"")), "nothing after the end"),
        "a wrong checksum": (entry("a", checksum=b"000000\x00 ") + END, "the header that erpose-"),
        "a setuid program": (entry("a", mode=b"0004755\x00") + END, "the header that erpose-edge"),
        "a program that is none": (entry("a", mode=b"0000755\x00") + END, "the header that erpose"),
        "another owner": (entry("a", owner=b"0001750\x00") + END, "the header that erpose-edge"),
        "a named owner": (entry("a", user=b"root") + END, "the header that erpose-edge writes"),
        "another date": (entry("a", date=b"14000000000\x00") + END, "the header that erpose-edge"),
        "bytes behind a file": (GOOD[:-1] + b"!" + END, "expected zeros up to the next block"),
        "a tar of GNU": (entry("a", magic=b"ustar  \x00") + END, "expected the header of a tar"),
        "a tar of 1979": (entry("a", magic=b"") + END, "expected the header of a tar"),
        "something packed": (gzip.compress(tar(("a", b""))), "got one that is cut short"),
        "something packed and long": (padded(b"\x1f\x8b" + bytes(600)), "the header of a tar"),
        "an empty file": (b"", "got one that is cut short"),
    }


NAMES = tuple(hostile_tars(Path("/outside")))

"""Data that was made to do harm, for a tiny Llama and a tiny ViT."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Make = Callable[[Path], object]
MIB = 1 << 20
WORDS = "a model grows by copying what it knows " * 200


@dataclass(frozen=True)
class Corpus:
    """What lies in the folder of the data, in which format it is asked for, and the code that the job ends in."""

    name: str
    format: str
    make: Make
    code: str = "invalid_data"


def _file(name: str, content: bytes) -> Make:
    return lambda folder: (folder / name).write_bytes(content)


def _text(name: str, code: str, content: bytes) -> Corpus:
    return Corpus(name, "text", _file("data.txt", content), code)


def _lines(name: str, line: bytes) -> Corpus:
    good = json.dumps({"text": WORDS}).encode()
    return Corpus(name, "jsonl", _file("data.jsonl", good + b"\n" + line + b"\n"))


def _stretched(path: Path, size: int) -> int:
    """The length that a file has now, with nothing on the disk behind what it had."""
    with path.open("r+b") as file:
        return file.truncate(size)


def _of_a_terabyte(name: str, head: bytes) -> Make:
    return lambda folder: ((folder / name).write_bytes(head), _stretched(folder / name, 1 << 40))


def _link(name: str, target: str) -> Make:
    return lambda folder: (folder / name).symlink_to(target)


TEXTS = [
    _text("text-latin", "invalid_data", WORDS.encode() + b"caf\xe9 " * 100),
    _text("text-utf-16", "invalid_data", WORDS.encode("utf-16")),
    _text("text-overlong", "invalid_data", WORDS.encode() + b"\xc0\xaf" * 10),
    _text("text-surrogates", "invalid_data", WORDS.encode() + b"\xed\xa0\x80" * 10),
    _text("text-zeros", "invalid_data", bytes(100) + b"\xff" * 100),
    _text("text-empty", "invalid_data", b""),
    _text("text-too-short", "invalid_data", b"word"),
    _text("text-gzip", "invalid_data", b"\x1f\x8b\x08\x00" + bytes(range(256)) * 64),
    Corpus("text-a-link", "text", _link("data.txt", "/etc/passwd")),
    Corpus("text-a-folder-of-links", "text", _link("elsewhere", "/etc")),
    Corpus("text-a-link-to-itself", "text", _link("data.txt", "data.txt")),
    Corpus("text-a-device", "text", _link("data.txt", "/dev/zero")),
    _lines("line-no-json", b"words"),
    _lines("line-a-list", b"[1]"),
    _lines("line-other-key", b'{"body": "x"}'),
    _lines("line-number", b'{"text": 1}'),
    _lines("line-not-a-number", b'{"text": NaN}'),
    _lines("line-deep", b'{"text": ' + b"[" * 500_000),
    _lines("line-deep-that-closes", b'{"text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    _lines("line-digits", b'{"text": "x", "n": ' + b"9" * 10_000 + b"}"),
    _lines("line-half-a-surrogate-pair", b'{"text": "\\ud800"}'),
    _lines("line-no-utf8", b'{"text": "\xff"}'),
    _lines("line-null-bytes", bytes(10_000)),
    _lines("line-no-end", b'{"text": "' + b"x" * (70 * MIB)),
    Corpus("line-of-a-terabyte", "jsonl", _of_a_terabyte("data.jsonl", b'{"text": "')),
]


def saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _head(**changes: Any) -> bytes:
    """A .npy file whose head tells what is not there."""
    file = io.BytesIO()
    told = {"descr": "<i8", "fortran_order": False, "shape": (1000,)} | changes
    text = repr(told).encode().ljust(117) + b"\n"
    file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(8000))
    return file.getvalue()


def _tokens(name: str, content: bytes, file: str = "ids.npy") -> Corpus:
    return Corpus(name, "tokens", _file(file, content))


TOKENS = [
    _tokens("npy-no-array", b"x" * 1000),
    _tokens("npy-pickle", b"\x80\x04\x95" + bytes(100)),
    _tokens("npy-of-objects", saved(np.array([{"a": 1}] * 10, dtype=object))),
    _tokens("npy-zip", b"PK\x03\x04" + bytes(1000)),
    _tokens("npy-head-of-code", _head(descr="__import__('os').system('id')")),
    _tokens("npy-head-of-ten-terabytes", _head(shape=(10**13,))),
    _tokens("npy-head-that-overflows", _head(shape=(2**40, 2**40))),
    _tokens("npy-head-negative", _head(shape=(-1000,))),
    _tokens("npy-head-of-negatives", _head(shape=(-10, -100))),
    _tokens("npy-head-fraction", _head(shape=(1000.0,))),
    _tokens("npy-head-many-dimensions", _head(shape=(1,) * 20 + (1000,), descr="<f8")),
    _tokens("npy-head-of-fields", _head(descr=[("a", "<i8")])),
    _tokens("npy-head-of-megabytes", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + bytes(1000)),
    _tokens("npy-deep", b"\x93NUMPY\x02\x00" + struct.pack("<I", 60_000) + b"(" * 60_000),
    _tokens("npy-version-nine", b"\x93NUMPY\x09\x00" + bytes(1000)),
    _tokens("npy-not-a-number", saved(np.full(1000, np.nan))),
    _tokens("npy-complex", saved(np.ones(1000, dtype=complex))),
    _tokens("npy-ids-beyond-the-vocabulary", saved(np.full(1000, 2**31))),
    _tokens("npy-ids-negative", saved(np.full(1000, -1))),
    _tokens("npy-ids-beyond-64-bits", saved(np.full(1000, 2**64 - 1, dtype=np.uint64))),
    _tokens("npy-by-columns", saved(np.asfortranarray(np.ones((20, 50), dtype=int)))),
    _tokens("bin-cut-inside-an-id", bytes(1001), "ids.bin"),
    _tokens("bin-of-anything", bytes(range(256)) * 100, "ids.bin"),
    Corpus("bin-of-a-terabyte", "tokens", _of_a_terabyte("ids.bin", b"\xff" * 4096)),
]


def _table(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def _parquet(name: str, content: Callable[[], bytes]) -> Corpus:
    return Corpus(name, "parquet", lambda folder: (folder / "data.parquet").write_bytes(content()))


def _flipped(content: bytes) -> bytes:
    """With its footer's numbers changed."""
    end = len(content) - 8
    return content[: end - 200] + bytes(255 - byte for byte in content[end - 200 : end]) + content[end:]


def _one_word(length: int) -> pa.DictionaryArray:
    """Two thousand rows of the same word, which is in the file once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["x" * length]))


_PACKED: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}
_LONG_ROWS = {"text": [f"{n}" + "x" * (4 * MIB) for n in range(16)]}
TABLES = [
    _parquet("parquet-no-table", lambda: b"PAR1" + bytes(1000) + b"PAR1"),
    _parquet("parquet-footer-beyond-the-file", lambda: b"PAR1" + bytes(100) + struct.pack("<I", 2**31) + b"PAR1"),
    _parquet("parquet-footer-damaged", lambda: _flipped(_table({"text": [WORDS] * 10}))),
    _parquet("parquet-cut", lambda: _table({"text": [WORDS] * 10})[:-100]),
    _parquet("parquet-other-column", lambda: _table({"body": [WORDS]})),
    _parquet("parquet-numbers", lambda: _table({"text": [1, 2, 3]})),
    _parquet("parquet-nulls", lambda: _table({"text": pa.array([None] * 10, pa.string())})),
    _parquet("parquet-bytes", lambda: _table({"text": [b"\xff\xfe"] * 10})),
    _parquet("parquet-lists", lambda: _table({"text": [[WORDS]] * 10})),
    _parquet("parquet-no-rows", lambda: _table({"text": pa.array([], pa.string())})),
    _parquet("parquet-bomb-of-one-row", lambda: _table({"text": ["x" * (48 * MIB)]}, **_PACKED)),
    _parquet("parquet-bomb-of-many-rows", lambda: _table(_LONG_ROWS, **_PACKED)),
    _parquet("parquet-bomb-of-one-word", lambda: _table({"text": _one_word(100 * MIB)}, compression="zstd")),
    _parquet("parquet-a-million-columns", lambda: _table({f"c{n}": [1] for n in range(5_000)})),
]


def _png(width: int, height: int, rows: bytes = b"", chunks: bytes = b"") -> bytes:
    """A picture whose head tells these sizes, whatever follows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def _text_chunk(size: int) -> bytes:
    data = b"Comment\0\0" + zlib.compress(bytes(size), 9)
    return struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))


def _encoded(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind, **options)
    return file.getvalue()


def _solid(side: int) -> bytes:
    """A whole picture of one colour: megabytes of pixels in kilobytes."""
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()


def _pictures(content: Callable[[], bytes], name: str = "a.png") -> Make:
    def make(folder: Path) -> None:
        made = content()
        for label in ("one", "zero"):
            (folder / label).mkdir()
            for number in range(3):
                (folder / label / f"{number}-{name}").write_bytes(made)

    return make


def _image(name: str, content: Callable[[], bytes], file: str = "a.png") -> Corpus:
    return Corpus(name, "images", _pictures(content, file))


def _labelled(name: str, image: Callable[[], object], labels: list[Any]) -> Corpus:
    """A table of pictures, four times the same."""
    return _parquet(name, lambda: _table({"image": [image()] * 4, "label": labels}))


def _stretch_all(folder: Path) -> list[int]:
    return [_stretched(path, 1 << 40) for path in folder.glob("*/*.png")]


IMAGES = [
    _image("image-no-picture", lambda: b"x" * 100),
    _image("image-head-alone", lambda: b"\x89PNG\r\n\x1a\n"),
    _image("image-of-two-billion-rows", lambda: _png(2**31 - 1, 2**31 - 1)),
    _image("image-larger-than-any-limit", lambda: _png(30_000, 30_000)),
    _image("image-just-below-the-library's-limit", lambda: _png(13_000, 13_000)),
    _image("image-bomb", lambda: _solid(13_000)),
    _image("image-bomb-of-text", lambda: _png(16, 16, b"\0" * 16 * 49, _text_chunk(200 * MIB))),
    _image("image-no-rows", lambda: _png(0, 0)),
    _image("image-cut", lambda: _encoded("PNG")[:-30]),
    _image("image-jpeg-cut", lambda: _encoded("JPEG")[:200], "a.jpg"),
    _image("image-of-another-kind", lambda: _encoded("GIF")),
    _image("image-vector", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'),
    _image("image-postscript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(r) file\n"),
    _image("image-pickle", lambda: b"\x80\x04\x95" + bytes(100)),
    Corpus("images-without-folders", "images", _file("a.png", _encoded("PNG"))),
    Corpus("images-of-a-link", "images", _link("zero", "/etc")),
    _labelled("images-in-parquet-no-bytes", lambda: "x", [0, 1, 0, 1]),
    _labelled("images-in-parquet-label-beyond", lambda: _encoded("PNG"), [0, 99, 0, 99]),
    _labelled("images-in-parquet-label-not-a-number", lambda: _encoded("PNG"), [float("nan")] * 4),
    _labelled("images-in-parquet-label-of-code", lambda: _encoded("PNG"), ["__import__('os')"] * 4),
    _labelled("images-in-parquet-bomb", lambda: _solid(13_000), [0, 1, 0, 1]),
    Corpus("image-of-a-terabyte", "images", lambda f: (_pictures(lambda: _png(16, 16))(f), _stretch_all(f))),
]
GOOD = [
    _text("text", "", WORDS.encode()),
    _lines("lines", json.dumps({"text": WORDS}).encode()),
    _tokens("ids", saved((np.arange(4000) % 50).astype(np.int32))),
    _parquet("parquet", lambda: _table({"text": [WORDS] * 10})),
    _image("images", lambda: _encoded("PNG")),
    _labelled("images-in-parquet", lambda: _encoded("PNG"), [0, 1, 0, 1]),
]
"""What the same jobs succeed on."""

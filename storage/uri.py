"""Where bytes are: `s3://bucket/key` or `file:///absolute/path`, checked once and taken literally.

Nothing is decoded or normalised: `%2e`, `?` and `#` are plain characters of a key, and what could be read in two ways
(`..`, `//`, a backslash, a control character) is refused. One slash at the end, as in `s3://bucket/prefix/`, is
dropped. An empty key names the whole bucket, or the root of the file system.
"""

import re
from dataclasses import dataclass
from typing import Literal

from storage.errors import InvalidUri

Scheme = Literal["s3", "file"]

# S3's own limit on a key; for files Linux' PATH_MAX, less the room for a temporary name in the same folder.
MAX_KEY_BYTES: dict[Scheme, int] = {"s3": 1024, "file": 4000}
MAX_FILE_NAME_BYTES = 255
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
# Most keys: nothing below has to be looked for in one of these that is as short as a file's name may be.
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
# Control characters, lone surrogates (which no store can hold), line and paragraph separators, and the backslash.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\\]")


@dataclass(frozen=True, slots=True)
class Uri:
    """A checked URI: `bucket` is empty for files, `key` never begins with a slash. Raises InvalidUri."""

    scheme: Scheme
    bucket: str
    key: str

    def __post_init__(self) -> None:
        _check_bucket(self)
        if self.key:
            _check_key(self)

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Reads `s3://bucket/key` or `file:///absolute/path`; raises InvalidUri."""
        scheme = scheme_of(text)
        rest = text.removeprefix(f"{scheme}://")
        bucket, slash, key = rest.partition("/")
        if rest == text or (scheme == "file" and not slash):
            raise InvalidUri(f"{_shown(text)} names no storage: write s3://bucket/key or file:///absolute/path.")
        return cls(scheme, bucket, key.removesuffix("/"))

    def join(self, name: str) -> "Uri":
        """The URI of `name`, which may hold slashes, under this one; raises InvalidUri."""
        return Uri(self.scheme, self.bucket, f"{self.key}/{name}" if self.key else name or "/")

    def is_within(self, prefix: "Uri") -> bool:
        """Whether this is `prefix` or lies under it, segment by segment: `s3://a/bc` is not within `s3://a/b`."""
        if (self.scheme, self.bucket) != (prefix.scheme, prefix.bucket):
            return False
        return prefix.key in ("", self.key) or self.key.startswith(prefix.key + "/")

    @property
    def parent(self) -> "Uri":
        """Where the last segment lies; the whole bucket, or the root, for a key of one segment."""
        return Uri(self.scheme, self.bucket, self.key.rpartition("/")[0])

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


def scheme_of(text: str) -> Scheme:
    """The store that reading this URI would look at; of what is no URI, that of files."""
    return "s3" if text.startswith("s3://") else "file"


def _check_bucket(uri: Uri) -> None:
    if uri.scheme == "file":
        if uri.bucket:
            raise InvalidUri(f"{_shown(str(uri))} names a host: write file:/// and the absolute path, three slashes.")
    elif not _BUCKET.fullmatch(uri.bucket) or ".." in uri.bucket:
        raise InvalidUri(f"{_shown(str(uri))} has no valid bucket: 3 to 63 letters, digits, dots, hyphens.")


def _check_key(uri: Uri) -> None:
    if len(uri.key) <= MAX_FILE_NAME_BYTES and _PLAIN.fullmatch(uri.key):
        return
    segments = uri.key.split("/")
    if not all(segments) or not {".", ".."}.isdisjoint(segments):
        raise InvalidUri(f"{_shown(str(uri))} has an empty, '.' or '..' segment: write the path without it.")
    if _FORBIDDEN.search(uri.key):
        raise InvalidUri(f"{_shown(str(uri))} holds a backslash or a control character: rename the object.")
    longest_name = max(len(segment.encode()) for segment in segments)
    if len(uri.key.encode()) > MAX_KEY_BYTES[uri.scheme]:
        raise InvalidUri(f"{_shown(str(uri))} is longer than {MAX_KEY_BYTES[uri.scheme]} bytes: use a shorter key.")
    if uri.scheme == "file" and longest_name > MAX_FILE_NAME_BYTES:
        raise InvalidUri(f"{_shown(str(uri))} has a name longer than {MAX_FILE_NAME_BYTES} bytes: use a shorter one.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:197] + "...")

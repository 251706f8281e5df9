"""A file that grows under a hidden name in the folder of its final one, where it appears whole or not at all.

Hidden names are `.partial-`, 16 hex digits, and as much of the final name as fits; after a crash they tell what may be
swept. Bytes and folder entry are on the disk when `commit` returns. A symbolic link or a folder at the final name is
refused, never followed.
"""

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

_TEMPORARY_NAME = re.compile(r"\.partial-[0-9a-f]{16}-(.+)", re.DOTALL)
_LONGEST_NAME = 255


def final_name(name: str) -> str | None:
    """What the file of this name was going to be called, cut off where too long; None where it is none of ours."""
    found = _TEMPORARY_NAME.fullmatch(name)
    return None if found is None else found[1]


def etag_of(found: os.stat_result) -> str:
    """Moves whenever a file is replaced or written to."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"


class TemporaryFile:
    """Raises OSError where the system does; `size` is what is going to be written, in bytes."""

    def __init__(self, final: Path, size: int) -> None:
        self._final = final
        _require_plain(final)
        _make_folder(final.parent)
        _require_space(final.parent, size)
        self._hidden = final.with_name(_hidden_name(final.name))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor: int | None = os.open(self._hidden, flags, 0o666)

    def write(self, view: memoryview) -> None:
        """Appends all of `view`."""
        assert self._descriptor is not None
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        """Brings what was written so far to the disk."""
        assert self._descriptor is not None
        os.fdatasync(self._descriptor)

    def commit(self, *, if_absent: bool = False) -> os.stat_result:
        """Makes the file visible and durable; with `if_absent` raises FileExistsError if the name is taken."""
        assert self._descriptor is not None
        os.fsync(self._descriptor)
        written = os.fstat(self._descriptor)
        self._close()
        if if_absent:
            self._final.hardlink_to(self._hidden)
            self._hidden.unlink()
        else:
            self._hidden.replace(self._final)
        _sync_folder(self._final.parent)
        return written

    def discard(self) -> None:
        """Removes what has not become visible."""
        self._close()
        with suppress(FileNotFoundError):
            self._hidden.unlink()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _hidden_name(final: str) -> str:
    # In bytes, as file systems count; what is cut off in the middle of a letter is no text, and still a name.
    return os.fsdecode(os.fsencode(f".partial-{secrets.token_hex(8)}-{final}")[:_LONGEST_NAME])


def _require_plain(final: Path) -> None:
    try:
        mode = final.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(final))
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _require_space(folder: Path, size: int) -> None:
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""One folder of files in a store, each read as the version that was seen first."""

from storage.store import ObjectInfo, ObjectStore
from storage.uri import Uri


class Folder:
    """The files directly under a prefix; a file that changes while it is read raises `Changed`."""

    def __init__(self, store: ObjectStore, uri: Uri) -> None:
        self._store = store
        self._uri = uri
        self._seen: dict[str, ObjectInfo] = {}

    @property
    def uri(self) -> Uri:
        return self._uri

    def files(self) -> list[ObjectInfo]:
        """The files directly in the folder, sorted, each as it was seen first; none where there is no such folder."""
        return [self._seen.setdefault(info.uri.name, info) for info in self._store.list(self._uri, deep=False)]

    def names(self) -> list[str]:
        """Names of the files directly in the folder, sorted; empty where there is no such folder."""
        return [info.uri.name for info in self.files()]

    def size(self, name: str) -> int:
        """Bytes in a file. Raises `NotFound`."""
        return self._info(name).size

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """`length` bytes of a file from `start`, to its end where None. Raises `NotFound` and `Changed`."""
        info = self._info(name)
        return self._store.read(info.uri, start, length, etag=info.etag)

    def read_into(self, name: str, buffer: memoryview, start: int = 0) -> int:
        """Fills `buffer` from `start` of a file and tells how many bytes there were. Raises as `read`."""
        info = self._info(name)
        return self._store.read_into(info.uri, buffer, start, etag=info.etag)

    def _info(self, name: str) -> ObjectInfo:
        if name not in self._seen:
            self._seen[name] = self._store.head(self._uri.join(name))
        return self._seen[name]


def file_or_folder(store: ObjectStore, uri: Uri, ending: str) -> tuple[Folder, str | None]:
    """The folder at `uri`, and None; or, where its name has this ending, the folder that it lies in, and its name."""
    return (Folder(store, uri.parent), uri.name) if uri.name.endswith(ending) else (Folder(store, uri), None)

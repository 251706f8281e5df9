"""The URIs of a request: what each is for, whether the caller may name it, and whether anything is there."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from growth.errors import InvalidData
from service.api_keys import Kind
from service.auth import Caller
from service.errors import PrefixNotAllowed, StorageRefused, StorageSilent
from storage import Storage, StorageError, Unavailable, Uri

Given = tuple[str, Kind, str, str]
"""A name, what the URI is for, the field that holds it, and the URI."""


@dataclass(frozen=True, slots=True)
class Place:
    """One URI of a request: what it is for, which field names it, and where it really lies."""

    kind: Kind
    field: str
    uri: Uri


def places_of(given: Iterable[Given], storage: Storage) -> dict[str, Place]:
    """The places by name. Raises StorageRefused for what is no URI."""
    places = {}
    for name, kind, field, text in given:
        with blaming(field):
            places[name] = Place(kind, field, storage.canonical(Uri.parse(text)))
    return places


def check_allowed(places: Iterable[Place], storage: Storage, caller: Caller) -> None:
    """Raises PrefixNotAllowed."""
    for place in places:
        allowed = caller.allowed(place.kind)
        if allowed is not None and not any(place.uri.is_within(storage.canonical(prefix)) for prefix in allowed):
            raise PrefixNotAllowed(
                f"{place.field} lies outside of the prefixes that {caller.name!r} may use there.",
                field=place.field,
                hint=f"Allowed: {', '.join(map(str, allowed)) or 'none'}.",
            )


def check_data_exists(places: Mapping[str, Place], storage: Storage) -> None:
    """Raises InvalidData where nothing lies at the place of the data, or of the tokenizer."""
    told = {
        "data": "There is no data at {}; upload it first.",
        "tokenizer": "There is nothing at {}; give a tokenizer's folder.",
    }
    for name, sentence in told.items():
        if (place := places.get(name)) is not None:
            with blaming(place.field):
                if not anything_at(storage, place.uri):
                    raise InvalidData(sentence.format(place.uri), field=place.field)


def anything_at(storage: Storage, uri: Uri) -> bool:
    """Whether there is an object of this name, or any below it."""
    return next(iter(storage.list(uri)), None) is not None or (bool(uri.key) and storage.exists(uri))


@contextmanager
def blaming(field: str) -> Iterator[None]:
    """Names the field of the request whose URI a store refused."""
    try:
        yield
    except Unavailable as error:
        raise StorageSilent(error, field) from error
    except StorageError as error:
        raise StorageRefused(error, field) from error

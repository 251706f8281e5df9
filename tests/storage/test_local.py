"""What is true of files alone: links, pipes, full disks, hidden temporaries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage import AccessDenied, InvalidUri, NoSpace, NotFound, Storage, Uri

STORE = Storage()
WRITE_UNDER_A_LIMIT = """
import resource, sys
from storage import NoSpace, Storage, Uri
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    with Storage().open_write(Uri.parse(sys.argv[1]), 2_000_000) as writer:
        writer.write(bytes(2_000_000))
        writer.close()
except NoSpace as error:
    print(error)
"""


def uri_of(path: Path) -> Uri:
    return Uri.parse(f"file://{path}")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "secret"
    path.parent.mkdir()
    path.write_bytes(b"secret")
    return path


def test_a_linked_file_is_neither_read_nor_written(tmp_path: Path, secret: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(secret)
    uri = uri_of(link)
    for use in (STORE.head, STORE.read, STORE.exists):
        with pytest.raises(AccessDenied, match="symbolic link"):
            use(uri)
    for if_absent in (False, True):
        with pytest.raises(AccessDenied, match="symbolic link"):
            STORE.put(uri, b"x", if_absent=if_absent)
    with pytest.raises(AccessDenied, match="symbolic link"):
        STORE.open_write(uri, 1)
    STORE.delete(uri)
    assert not link.is_symlink()
    assert secret.read_bytes() == b"secret"


def test_list_and_sweep_pass_over_links(tmp_path: Path, secret: Path) -> None:
    (secret.parent / ".partial-0123456789abcdef-model").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(b"x")
    (root / "linked-file").symlink_to(secret)
    (root / "linked-folder").symlink_to(secret.parent)
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    assert [info.uri for info in STORE.list(uri_of(root))] == [uri_of(root / "file")]
    assert STORE.abort_uploads(uri_of(root)) == 0


def test_a_linked_root_works_and_canonical_tells_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "real")
    uri = uri_of(tmp_path / "data/folder/x")
    STORE.put(uri, b"x")
    assert STORE.read(uri) == (tmp_path / "real/folder/x").read_bytes()
    assert [info.uri for info in STORE.list(uri_of(tmp_path / "data"))] == [uri]
    assert STORE.canonical(uri) == uri_of(tmp_path.resolve() / "real/folder/x")
    assert STORE.canonical(Uri.parse("s3://models/x")) == Uri.parse("s3://models/x")


def test_a_pipe_or_a_folder_is_no_object(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(NotFound):
            STORE.read(uri_of(tmp_path / name))
        with pytest.raises(NotFound):
            STORE.head(uri_of(tmp_path / name))
    with pytest.raises(AccessDenied, match="folder"):
        STORE.put(uri_of(tmp_path / "folder"), b"x")
    with pytest.raises(AccessDenied, match="folder"):
        STORE.open_write(uri_of(tmp_path / "folder"), 1)
    STORE.delete(uri_of(tmp_path / "folder"))
    assert (tmp_path / "folder").is_dir()


def test_a_file_on_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFound, match="is a file, not a folder"):
        STORE.open_write(uri_of(tmp_path / "file/x"), 1)
    assert list(STORE.list(uri_of(tmp_path / "file"))) == []


def test_a_write_larger_than_the_disk_is_refused_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match="too little space"):
        STORE.open_write(uri_of(tmp_path / "x"), 2**60)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_UNDER_A_LIMIT, str(uri_of(tmp_path / "x"))]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "larger than this disk or process may hold" in printed.stdout
    assert list(tmp_path.iterdir()) == []


def test_temporaries_are_hidden_until_they_are_swept(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    left_behind = tmp_path / "folder/.partial-0123456789abcdef-model"
    similar = tmp_path / "folder/.partial-notes"
    for path in (left_behind, similar):
        path.touch()
    assert [info.uri for info in STORE.list(uri_of(tmp_path))] == [uri_of(similar)]
    assert STORE.abort_uploads(uri_of(tmp_path)) == 1
    assert [*(tmp_path / "folder").iterdir()] == [similar]


def test_the_longest_names_have_temporaries_too(tmp_path: Path) -> None:
    uri = uri_of(tmp_path).join("é" * 127)
    writer = STORE.open_write(uri, 3)
    assert len(list(tmp_path.iterdir())) == 1
    writer.write(b"abc")
    writer.close()
    assert [info.uri for info in STORE.list(uri_of(tmp_path))] == [uri]


def test_a_name_that_no_uri_can_hold_is_told_by_list(tmp_path: Path) -> None:
    (tmp_path / "bad\nname").touch()
    with pytest.raises(InvalidUri, match="control character"):
        list(STORE.list(uri_of(tmp_path)))


def test_a_change_in_place_moves_the_etag(tmp_path: Path) -> None:
    uri = uri_of(tmp_path / "x")
    before = STORE.put(uri, b"0123456789").etag
    with (tmp_path / "x").open("r+b") as file:
        file.write(b"9")
    assert STORE.head(uri).etag != before


def test_the_longest_path_works(tmp_path: Path) -> None:
    uri = uri_of(tmp_path)
    while len(uri.key) < 3700:
        uri = uri.join("d" * 200)
    uri = uri.join("x" * 80)
    STORE.put(uri, b"x")
    assert STORE.read(uri) == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_missing_rights_are_told(tmp_path: Path) -> None:
    STORE.put(uri_of(tmp_path / "x"), b"x")
    (tmp_path / "x").chmod(0)
    with pytest.raises(AccessDenied, match="change its rights"):
        STORE.read(uri_of(tmp_path / "x"))
    tmp_path.chmod(0o500)
    with pytest.raises(AccessDenied, match="change its rights"):
        STORE.open_write(uri_of(tmp_path / "y"), 1)

"""A writer's memory is its parts in flight, however large the object."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.settings import MIB
from tests.servers import S3Server

OBJECT_MIB = 200
# Five buffers of 16 MiB for S3, one read of the caller's for files, and what the libraries take.
MOST_MIB = {"s3": 5 * 16 + 24, "file": 16}
WRITE = """
import resource, sys
from storage import S3Settings, Storage, StorageSettings, Uri

def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def write(uri, pieces):
    with storage.open_write(uri, pieces * len(piece)) as writer:
        for _ in range(pieces):
            writer.write(piece)
        return writer.close()

endpoint_url, prefix, mib = sys.argv[1:]
storage = Storage(StorageSettings(S3Settings(endpoint_url, None, "key", "secret")))
prefix = Uri.parse(prefix)
piece = bytes(range(256)) * 4096
write(prefix.join("warm-up"), 1)
before = peak_kib()
write(prefix.join("large"), int(mib))
print(peak_kib() - before)
"""


@pytest.mark.parametrize("scheme", ["s3", "file"])
def test_a_large_object_is_written_in_little_memory(scheme: str, moto: S3Server, tmp_path: Path) -> None:
    prefix = f"s3://{moto.bucket}/memory" if scheme == "s3" else f"file://{tmp_path}"
    command = [sys.executable, "-c", WRITE, moto.endpoint_url, prefix, str(OBJECT_MIB)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(printed.stdout) * 1024 < MOST_MIB[scheme] * MIB

"""Growth from S3 to S3 beside boto3's `upload_file` of the same bytes, over two servers on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.expand.cases import Case, grow, plan_of, write_source
from benchmarks.expand.timing import interleaved
from storage import S3Settings, Storage, StorageSettings, Uri
from storage.s3_client import make_client
from tests.servers import S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FLOOR = (
    "The grown bytes must be sent once: upload_file does just that, from a local file. Beside that the source is "
    "fetched from the same server, and what is sent is hashed. No byte of the target touches the disk here."
)


def measure(case: Case, server: S3Server, folder: Path, rounds: int) -> dict[str, Any]:
    """The throughput of the growth as a share of `upload_file`'s, and the bytes that it wrote to the disk."""
    settings = S3Settings(server.endpoint_url, None, server.access_key, server.secret_key)
    # The same dialect of S3 for both: moto computes a checksum of whole objects where a client sends none of its parts.
    client, storage = make_client(settings), Storage(StorageSettings(settings))
    local, source = folder / "source", Uri.parse(f"s3://{server.bucket}/source")
    if not local.exists():
        # For every range that is asked for, moto reads the whole object.
        write_source(case, local, max_shard_size="40MB")
    for file in local.iterdir():
        client.upload_file(str(file), server.bucket, f"source/{file.name}")
    plan = plan_of(case, storage, source)
    target = Uri.parse(f"s3://{server.bucket}/grown/model.safetensors")
    written: list[int] = []

    def expand() -> None:
        before = _bytes_to_disk()
        grow(plan, storage, source, lambda _, size: storage.open_write(target, size))
        written.append(_bytes_to_disk() - before)

    expand()
    copy = folder / "copy.safetensors"
    client.download_file(server.bucket, target.key, str(copy))
    seconds = interleaved(
        {
            "expand": expand,
            "upload_file": lambda: client.upload_file(str(copy), server.bucket, target.key),
        },
        rounds,
        lambda: _remove(client, server.bucket, target.key),
    )
    copy.unlink()
    return {
        "case": case.told,
        "gigabytes": round(plan.target_bytes / 1e9, 3),
        "seconds": seconds,
        "share_of_upload_throughput": round(seconds["upload_file"] / seconds["expand"], 3),
        "bytes_written_to_disk_while_growing": max(written),
    }


def _remove(client: "S3Client", bucket: str, key: str) -> None:
    client.delete_object(Bucket=bucket, Key=key)


def _bytes_to_disk() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))

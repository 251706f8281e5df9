"""What the operator may set about stores; nothing here is read from the environment.

What is left None is boto3's own to find: credentials, region, and the endpoint of AWS.
"""

from dataclasses import dataclass, field

MIB = 2**20
S3_SMALLEST_PART = 5 * MIB


@dataclass(frozen=True)
class S3Settings:
    """One S3 endpoint and how patiently it is asked; secrets are not shown in the repr."""

    endpoint_url: str | None = None
    """Set for every store that is not AWS: path-style addresses, signature v4, checksums only where required."""
    region: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    max_attempts: int = 5
    """Of one request, the first included."""
    part_bytes: int = 16 * MIB
    """Least size of a multipart part; grows where an object would have more than 9,000."""
    upload_threads: int = 4
    """Parts of one object that are sent at once."""

    def __post_init__(self) -> None:
        if self.part_bytes < S3_SMALLEST_PART:
            raise ValueError(f"part_bytes is {self.part_bytes}, but S3 takes no part below {S3_SMALLEST_PART} bytes.")


@dataclass(frozen=True)
class StorageSettings:
    s3: S3Settings = field(default_factory=S3Settings)

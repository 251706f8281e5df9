"""Bodies that no growth request is, or none that this service may do; `GOOD` is what they were before."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEP = 100_000


@dataclass(frozen=True)
class Request:
    """What is sent to `POST /plan` and `POST /grow`, and the code that it ends in."""

    name: str
    code: str
    body: bytes
    headers: Mapping[str, str]


def requests(good: Mapping[str, Any]) -> list[Request]:
    """All of them, made from a request that would be taken."""
    changed = [_request(name, code, json.dumps({**good, **change}).encode()) for name, code, change in CHANGES]
    raw = [_request(name, code, body) for name, code, body in RAW]
    text = json.dumps(good)
    whole = [
        _request("utf-16-without-its-mark", "invalid_request", b"{" + text.encode("utf-16-le")[2:]),
        _request("utf-7-that-is-no-json", "invalid_request", b"+AHsAIg-" + text.encode()),
        _request("key-that-comes-twice-as-another-kind", "invalid_request", text[:-1].encode() + b', "seed": []}'),
        _request("more-after-the-end", "invalid_request", text.encode() + b"{}"),
        _request("cut-in-the-middle", "invalid_request", text.encode()[:-10]),
        _request("trailing-comma", "invalid_request", text[:-1].encode() + b",}"),
        _request("as-a-form", "invalid_request", text.encode(), "application/x-www-form-urlencoded"),
        _request("as-text", "invalid_request", text.encode(), "text/plain"),
        _request("compressed-by-its-header-alone", "invalid_request", b"\x1f\x8b\x08\x00" + bytes(200)),
        _request("longer-than-the-limit", "body_too_large", text[:-1].encode() + b" " * (2 << 20) + b"}"),
        _request("a-megabyte-of-digits", "invalid_request", b'{"seed": ' + b"9" * 1_000_000 + b"}"),
    ]
    return changed + raw + whole


def _request(name: str, code: str, body: bytes, kind: str = "application/json") -> Request:
    return Request(name, code, body, {"Content-Type": kind})


_LONG = "x" * 4000
CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    # Another service's address, or none at all, where storage is named
    ("source-http", "invalid_request", {"source": "http://127.0.0.1/model"}),
    ("source-https-with-credentials", "invalid_request", {"source": "https://user:secret@example.org/model"}),
    ("source-ftp", "invalid_request", {"source": "ftp://example.org/model"}),
    ("source-gopher", "invalid_request", {"source": "gopher://127.0.0.1:6379/_FLUSHALL"}),
    ("source-hub-name", "invalid_request", {"source": "bert-base-uncased"}),
    ("source-absolute-path", "invalid_request", {"source": "/etc"}),
    ("source-javascript", "invalid_request", {"source": "javascript:alert(1)"}),
    ("source-data-uri", "invalid_request", {"source": "data:application/json,{}"}),
    ("source-scheme-in-capitals", "invalid_request", {"source": "FILE:///etc"}),
    ("source-scheme-twice", "invalid_uri", {"source": "file://file:///etc"}),
    ("source-empty", "invalid_request", {"source": ""}),
    ("source-too-long", "invalid_request", {"source": f"file:///{_LONG}"}),
    ("source-long-name", "invalid_uri", {"source": f"file:///{'x' * 300}"}),
    ("source-host", "invalid_uri", {"source": "file://example.org/model"}),
    ("source-localhost", "invalid_uri", {"source": "file://localhost/etc"}),
    ("source-dots", "invalid_uri", {"source": "file:///models/../etc"}),
    ("source-dot", "invalid_uri", {"source": "file:///models/./x"}),
    ("source-double-slash", "invalid_uri", {"source": "file:////etc//passwd"}),
    ("source-backslash", "invalid_uri", {"source": "file:///models\\..\\etc"}),
    ("source-dots-in-percent", "source_not_found", {"source": "file:///models/%2e%2e/etc"}),
    ("source-null-byte", "invalid_request", {"source": "file:///etc\0.safetensors"}),
    ("source-newline", "invalid_request", {"source": "file:///etc\nHost: example.org"}),
    ("source-carriage-return", "invalid_request", {"source": "file:///etc\r\nX: y"}),
    ("source-control-character", "invalid_request", {"source": "file:///a\x85b"}),
    ("source-half-a-surrogate-pair", "invalid_request", {"source": "file:///\ud800"}),
    ("source-line-separator", "invalid_request", {"source": "file:///a\u2028b"}),
    ("source-bucket-dots", "invalid_uri", {"source": "s3://a..b/model"}),
    ("source-bucket-short", "invalid_uri", {"source": "s3://a/model"}),
    ("source-bucket-address", "invalid_uri", {"source": "s3://127.0.0.1:9000/model"}),
    ("source-bucket-user", "invalid_uri", {"source": "s3://user@bucket/model"}),
    ("source-bucket-arn", "invalid_uri", {"source": "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/x/y"}),
    ("source-bucket-none", "invalid_uri", {"source": "s3:///model"}),
    ("source-key-dots", "invalid_uri", {"source": "s3://models/../secret"}),
    ("source-key-too-long", "invalid_uri", {"source": f"s3://models/{'a/' * 600}a"}),
    ("source-device", "source_not_found", {"source": "file:///dev/zero"}),
    ("source-own-memory", "invalid_config", {"source": "file:///proc/self"}),
    ("source-root", "invalid_config", {"source": "file:///"}),
    ("source-number", "invalid_request", {"source": 7}),
    ("source-list", "invalid_request", {"source": ["file:///a"]}),
    ("source-untrained-empty", "invalid_request", {"source": {}}),
    ("source-untrained-endpoint", "invalid_request", {"source": {"config": {}, "endpoint_url": "http://127.0.0.1"}}),
    # Fields that other services have, and that would name a place or a right
    ("endpoint", "invalid_request", {"endpoint_url": "http://127.0.0.1:9000"}),
    ("credentials", "invalid_request", {"aws_access_key_id": "a", "aws_secret_access_key": "b"}),
    ("trust-remote-code", "invalid_request", {"trust_remote_code": True}),
    ("owner", "invalid_request", {"owner": "somebody-else"}),
    ("proto", "invalid_request", {"__proto__": {"verify": False}}),
    ("class", "invalid_request", {"__class__": "GrowthRequest"}),
    # Outputs
    ("output-http", "invalid_request", {"output": "http://127.0.0.1/put"}),
    ("output-dots", "invalid_uri", {"output": "file:///tmp/../etc/cron.d/x"}),
    ("output-root", "output_overlaps", {"output": "file:///"}),
    ("output-null", "invalid_request", {"output": None}),
    ("output-of-the-system", "output_exists", {"output": "file:///etc"}),
    ("output-key-of-slashes", "invalid_uri", {"output": "s3://models///x"}),
    # Numbers
    ("target-negative", "invalid_request", {"target": {"hidden_size": -64}}),
    ("target-zero", "invalid_request", {"target": {"hidden_size": 0}}),
    ("target-bool", "invalid_request", {"target": {"hidden_size": True}}),
    ("target-fraction", "invalid_request", {"target": {"hidden_size": 64.5}}),
    ("target-huge", "impossible_target", {"target": {"hidden_size": 2**31 - 32}}),
    ("target-beyond-32-bits", "invalid_request", {"target": {"hidden_size": 2**31}}),
    ("target-layers-beyond-all-use", "impossible_target", {"target": {"num_hidden_layers": 2**31 - 1}}),
    ("target-many-keys", "invalid_request", {"target": {f"size_{n}": 1 for n in range(33)}}),
    ("target-not-a-number", "invalid_request", {"target": {"hidden_size": float("nan")}}),
    ("target-infinite", "invalid_request", {"target": {"hidden_size": float("inf")}}),
    ("target-code", "impossible_target", {"target": {"__import__('os').system('id')": 1}}),
    ("target-list", "invalid_request", {"target": [64]}),
    ("seed-negative", "invalid_request", {"seed": -1}),
    ("seed-beyond-64-bits", "invalid_request", {"seed": 2**63}),
    ("seed-of-4000-digits", "invalid_request", {"seed": 10**4000}),
    ("noise-not-a-number", "invalid_request", {"expert_noise": float("nan")}),
    ("noise-infinite", "invalid_request", {"expert_noise": float("inf")}),
    ("noise-on-a-dense-model", "impossible_target", {"expert_noise": 1.0}),
    ("shards-of-a-byte", "invalid_request", {"max_shard_bytes": 1}),
    ("shards-of-an-exabyte", "invalid_request", {"max_shard_bytes": 10**18}),
    ("dtype-of-a-byte", "invalid_request", {"dtype": "int8"}),
    ("dtype-of-code", "invalid_request", {"dtype": "torch.float32"}),
    # Methods
    ("method-path", "invalid_request", {"method": "../../etc/passwd"}),
    ("method-module", "invalid_request", {"method": "growth.operators.ligo"}),
    ("method-dunder", "invalid_method", {"method": "__init__"}),
    ("method-too-long", "invalid_request", {"method": "a" * 41}),
    ("method-in-a-method", "invalid_method", {"method": {"name": "stack", "width": {"name": "stack"}}}),
    ("method-option-unknown", "invalid_method", {"method": {"name": "lemon", "callback": "http://127.0.0.1"}}),
    ("method-option-huge", "invalid_method", {"method": {"name": "lemon", "noise": 1e308}}),
    ("method-operator-http", "invalid_uri", {"method": {"name": "ligo", "operator": "http://127.0.0.1/operator"}}),
    ("method-operator-dots", "invalid_uri", {"method": {"name": "ligo", "operator": "file:///a/../b"}}),
    ("method-operator-nowhere", "invalid_operator", {"method": {"name": "ligo", "operator": "file:///nowhere/at/all"}}),
    ("method-operator-of-another-kind", "invalid_method", {"method": {"name": "ligo", "operator": {"uri": "x"}}}),
    # Data and other inputs
    ("data-http", "invalid_request", {"data": {"uri": "http://127.0.0.1/corpus"}}),
    ("data-dots", "invalid_uri", {"data": {"uri": "file:///a/../b"}}),
    ("data-nowhere", "invalid_data", {"data": {"uri": "file:///nowhere/at/all"}}),
    ("data-format-pickle", "invalid_request", {"data": {"uri": "file:///tmp", "format": "pickle"}}),
    ("data-images-for-text", "invalid_data", {"data": {"uri": "file:///etc", "format": "images"}}),
    ("data-length-huge", "invalid_request", {"data": {"uri": "file:///tmp", "sequence_length": 10**9}}),
    ("data-held-out-all", "invalid_request", {"data": {"uri": "file:///tmp", "held_out_fraction": 1.0}}),
    (
        "data-held-out-not-a-number",
        "invalid_request",
        {"data": {"uri": "file:///t", "held_out_fraction": float("nan")}},
    ),
    ("optimizer-http", "invalid_request", {"source_optimizer": "http://127.0.0.1/optimizer"}),
    ("optimizer-pickle", "invalid_optimizer_state", {"source_optimizer": "file:///nowhere/optimizer.pt"}),
    # Webhooks
    ("webhook-http", "invalid_webhook", {"webhook": "http://hooks.example/"}),
    ("webhook-loopback", "invalid_webhook", {"webhook": "https://127.0.0.1/"}),
    ("webhook-short", "invalid_webhook", {"webhook": "https://127.1/"}),
    ("webhook-decimal", "invalid_webhook", {"webhook": "https://2130706433/"}),
    ("webhook-octal", "invalid_webhook", {"webhook": "https://0177.0.0.1/"}),
    ("webhook-hexadecimal", "invalid_webhook", {"webhook": "https://0x7f000001/"}),
    ("webhook-private", "invalid_webhook", {"webhook": "https://10.0.0.1/"}),
    ("webhook-metadata", "invalid_webhook", {"webhook": "https://169.254.169.254/latest/meta-data/"}),
    ("webhook-ipv6-loopback", "invalid_webhook", {"webhook": "https://[::1]/"}),
    ("webhook-ipv6-mapped", "invalid_webhook", {"webhook": "https://[::ffff:127.0.0.1]/"}),
    ("webhook-ipv6-translated", "invalid_webhook", {"webhook": "https://[64:ff9b::7f00:1]/"}),
    ("webhook-ipv6-link-local", "invalid_webhook", {"webhook": "https://[fe80::1]/"}),
    ("webhook-any", "invalid_webhook", {"webhook": "https://0.0.0.0/"}),
    ("webhook-credentials", "invalid_webhook", {"webhook": "https://user:secret@hooks.example/"}),
    ("webhook-fragment", "invalid_webhook", {"webhook": "https://hooks.example/#@127.0.0.1"}),
    ("webhook-backslash", "invalid_webhook", {"webhook": "https://hooks.example\\@127.0.0.1/"}),
    ("webhook-port-zero", "invalid_webhook", {"webhook": "https://hooks.example:0/"}),
    ("webhook-port-beyond", "invalid_webhook", {"webhook": "https://hooks.example:99999/"}),
    ("webhook-file", "invalid_request", {"webhook": "file:///etc/passwd"}),
    ("webhook-newline", "invalid_request", {"webhook": "https://hooks.example/\r\nX: y"}),
    ("webhook-full-width", "invalid_request", {"webhook": "https://１２７.0.0.1/"}),
    ("webhook-too-long", "invalid_request", {"webhook": f"https://hooks.example/{_LONG}"}),
    # Labels
    ("label-of-control-characters", "invalid_request", {"labels": {"a\nb": "c"}}),
    ("label-of-markup", "invalid_request", {"labels": {"<script>": "c"}}),
    ("label-too-long", "invalid_request", {"labels": {"a": "x" * 257}}),
    ("labels-too-many", "invalid_request", {"labels": {f"l{n}": "" for n in range(33)}}),
    ("label-number", "invalid_request", {"labels": {"a": 1}}),
    ("label-half-a-surrogate-pair", "invalid_request", {"labels": {"a": "\udfff"}}),
]
RAW: list[tuple[str, str, bytes]] = [
    ("empty", "invalid_request", b""),
    ("null", "invalid_request", b"null"),
    ("a-list", "invalid_request", b"[]"),
    ("a-text", "invalid_request", b'"grow"'),
    ("a-number", "invalid_request", b"1e999"),
    ("no-json", "invalid_request", b"grow=1"),
    ("no-utf8", "invalid_request", b'{"source": "\xff\xfe"}'),
    ("overlong-utf8", "invalid_request", b'{"source": "\xc0\xae\xc0\xae"}'),
    ("null-bytes", "invalid_request", bytes(1000)),
    ("deep-list", "invalid_request", b"[" * DEEP),
    ("deep-list-that-closes", "invalid_request", b"[" * DEEP + b"]" * DEEP),
    ("deep-object", "invalid_request", b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    ("deep-config", "invalid_request", b'{"source": {"config": ' + b'{"a":' * 900 + b"1" + b"}" * 901 + b"}"),
    ("many-keys", "invalid_request", b"{" + b",".join(b'"k%d":1' % n for n in range(60_000)) + b"}"),
    ("many-numbers", "invalid_request", b'{"target": [' + b"1," * 400_000 + b"1]}"),
    ("pickle", "invalid_request", b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94"),
    ("xml-entities", "invalid_request", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
    ("yaml-object", "invalid_request", b"!!python/object/apply:os.system [id]"),
]

"""Where webhooks may go: every way to write an address that is not a public one is refused, and every such address."""

from ipaddress import ip_address

import pytest

from service.errors import WebhookRefused
from service.webhook_address import may_connect, parse

TRUSTED = ("hooks.internal", "10.0.0.7:8080")


@pytest.mark.parametrize(
    ("url", "host", "port", "trusted"),
    [
        ("https://hooks.example/grow?token=1", "hooks.example", 443, False),
        ("https://HOOKS.example:8443", "hooks.example", 8443, False),
        ("https://8.8.8.8/", "8.8.8.8", 443, False),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443, False),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, False),
        ("http://hooks.internal/", "hooks.internal", 80, True),
        ("http://hooks.internal:9000/", "hooks.internal", 9000, True),
        ("http://10.0.0.7:8080/", "10.0.0.7", 8080, True),
    ],
)
def test_what_is_taken(url: str, host: str, port: int, trusted: bool) -> None:
    target = parse(url, TRUSTED)
    assert (target.host, target.port, target.trusted) == (host, port, trusted)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "http://10.0.0.7:8081/",
        "http://sub.hooks.internal/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://1.2.3/",
        "https://example.0x1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fd00:ec2::254]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/",
        "https://100.100.100.200/",
        "https://192.0.0.192/",
        "https://10.0.0.7/",
        "https://172.16.0.1/",
        "https://192.168.0.1/",
        "https://0.0.0.0/",
        "https://255.255.255.255/",
        "https://224.0.0.1/",
        "https://user:password@hooks.example/",
        "https://hooks.example@127.0.0.1/",
        "https://hooks.example\\@127.0.0.1/",
        "https://hooks.example/#fragment",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://hooks.example:https/",
        "https://hooks_example/",
        "https://ex%61mple.com/",
        "https://hooks..example/",
        "https://-hooks.example/",
        "https://hooks.example./",
        "https:///path",
        "https://",
        "ftp://hooks.internal/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//hooks.example/",
    ],
)
def test_what_is_refused(url: str) -> None:
    with pytest.raises(WebhookRefused, match="The webhook's address can't be used") as refused:
        parse(url, TRUSTED)
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "100.64.0.1",
        "198.18.0.1",
        "240.0.0.1",
    ],
)
def test_private_networks_are_for_trusted_hosts_alone(address: str) -> None:
    assert not may_connect(ip_address(address), trusted=False)
    assert may_connect(ip_address(address), trusted=True)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::"]
)
def test_link_local_addresses_are_for_nobody(address: str) -> None:
    assert not may_connect(ip_address(address), trusted=True)

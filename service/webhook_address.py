"""Where a webhook may be sent: public addresses over https, and the hosts that the operator trusts.

A name is judged by what it resolves to, once, right before the connection, which is then made to that very address. So
neither a name that changes, nor a redirect, nor an address written in some other way leads to a place that is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx2

from service.errors import WebhookRefused

Address = IPv4Address | IPv6Address

DEFAULT_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
# What a resolver takes for a number, as browsers know it: 2130706433, 0x7f.1, 0177.0.0.1.
_NUMBER = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$")
# Not public, though `is_global` says so: protocol assignments, relays that lead to any address, and the one at which a
# cloud's virtual machines find their host.
_REFUSED = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_REFUSED_6 = tuple(map(IPv6Network, ("2002::/16", "64:ff9b::/96", "fec0::/10", "::/96")))


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's URL, taken apart once."""

    url: httpx2.URL
    host: str
    """A name in lower case, or an IP address without brackets."""
    port: int
    trusted: bool


def parse(url: str, trusted_hosts: Sequence[str]) -> Target:
    """Raises WebhookRefused for a URL at which nothing may be sent, whatever it resolves to."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise _refused("it is no URL") from error
    host = parsed.raw_host.decode("ascii")
    port = DEFAULT_PORTS.get(parsed.scheme, 0) if parsed.port is None else parsed.port
    trusted = host in trusted_hosts or f"{host}:{port}" in trusted_hosts
    if parsed.userinfo or parsed.fragment or "\\" in url:
        raise _refused("it holds credentials, a fragment or a backslash")
    if parsed.scheme != "https" and not (trusted and parsed.scheme == "http"):
        raise _refused("it is not https")
    if not 0 < port < 65_536:
        raise _refused("it names no port")
    literal = _literal(host)
    if literal is not None and not may_connect(literal, trusted=trusted):
        raise _refused("its address is not a public one")
    return Target(parsed, host, port, trusted)


def check(url: str | None, trusted_hosts: Sequence[str]) -> None:
    """Of a request, which may have none. Raises like `parse`."""
    if url is not None:
        parse(url, trusted_hosts)


def may_connect(address: Address, *, trusted: bool) -> bool:
    """Whether a webhook may go there; a trusted host may be on a private network, but never a link-local address."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return may_connect(address.ipv4_mapped, trusted=trusted)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if trusted:
        return True
    refused = _REFUSED if isinstance(address, IPv4Address) else _REFUSED_6
    return address.is_global and not address.is_reserved and not any(address in network for network in refused)


def _literal(host: str) -> Address | None:
    """The address that the host is written as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        if not _NAME.fullmatch(host) or _NUMBER.search(host):
            raise _refused("its host is neither a plain name nor an IP address") from None
        return None


def _refused(why: str) -> WebhookRefused:
    return WebhookRefused(
        f"The webhook's address can't be used: {why}.",
        hint="Give an https URL of a host on the internet, or ask the operator to trust the host.",
    )

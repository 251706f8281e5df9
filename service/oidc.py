"""Tokens of an identity provider in place of API keys: JWTs that it signed for this service (OpenID Connect)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import jwt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from jobs.settings import http_url
from service.api_keys import KINDS, READ_AND_WRITE, SCOPES, Kind, Prefixes, Quotas, Scope
from service.errors import Unauthorized
from service.signing_keys import SigningKeys
from storage import InvalidUri, Uri

# Signatures alone: with a shared secret whoever checks a token could make one.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
OWNER = "{owner}"
MOST_OWNER_CHARACTERS = 200
_KINDS_OF_KEY = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_REASONS: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not good yet",
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidIssuerError: "it is of another issuer",
    jwt.MissingRequiredClaimError: "a claim is missing",
    jwt.InvalidAlgorithmError: "its algorithm is not allowed",
}


class Oidc(BaseModel):
    """Which tokens are good, and what they allow."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    issuer: str
    """`iss` of every token, to the letter."""
    audience: str
    """`aud` of every token, or one of several."""
    jwks_url: Annotated[str, AfterValidator(http_url)]
    """Where the provider shows its public keys; `jwks_uri` in its `/.well-known/openid-configuration`."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256")
    """What tokens may be signed with."""
    clock_skew_seconds: Annotated[int, Field(ge=0, le=600)] = 30
    """How far this clock and the provider's may be apart."""
    owner_claim: str = "sub"
    """The claim that names the owner of the jobs."""
    scope_claim: str = "scope"
    """The claim with the scopes, in one text or a list; others than ours are passed over."""
    scopes: tuple[Scope, ...] = READ_AND_WRITE
    """Of tokens without that claim."""
    prefixes: Prefixes
    """As of a key; `{owner}` in them is the owner of the token."""
    quotas: Quotas = Quotas()
    """Of each owner."""


class Tokens:
    """Reads tokens; for any number of threads."""

    def __init__(self, oidc: Oidc) -> None:
        self.quota = oidc.quotas.quota()
        self._oidc = oidc
        self._keys = SigningKeys(oidc.jwks_url)

    def read(self, token: str) -> tuple[str, frozenset[Scope], Mapping[Kind, tuple[Uri, ...]], float]:
        """Owner, scopes, prefixes, and when it ends, in seconds since 1970.

        May ask the provider for its keys. Raises Unauthorized, ProviderSilent.
        """
        claims = self._claims(token)
        owner = claims.get(self._oidc.owner_claim)
        if not isinstance(owner, str) or not _can_own(owner):
            raise Unauthorized(f"This token can't be used: its claim {self._oidc.owner_claim!r} names no owner.")
        # No API key can have a name with a colon, so that no key and no token own the same jobs.
        good_until = float(claims["exp"]) + self._oidc.clock_skew_seconds
        return f"oidc:{owner}", self._scopes(claims), self._prefixes(owner), good_until

    def _claims(self, token: str) -> dict[str, Any]:
        oidc = self._oidc
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.find(header.get("kid"))
            if _KINDS_OF_KEY.get(str(header.get("alg"))[:2]) != key.key_type:
                raise jwt.InvalidKeyError("the key is of another kind than the signature")
            return jwt.decode(
                token,
                key.key,
                algorithms=list(oidc.algorithms),
                audience=oidc.audience,
                issuer=oidc.issuer,
                leeway=oidc.clock_skew_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            reason = next((said for kind, said in _REASONS.items() if isinstance(error, kind)), "it is not signed so")
            raise Unauthorized(f"This token can't be used: {reason}.") from None

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        given = claims.get(self._oidc.scope_claim)
        if given is None:
            return frozenset(self._oidc.scopes)
        named = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
        return frozenset(scope for scope in SCOPES if scope in named)

    def _prefixes(self, owner: str) -> Mapping[Kind, tuple[Uri, ...]]:
        # One segment, whatever is in it: nobody's prefix lies in another's.
        segment = quote(owner, safe="@")

        def filled(prefix: str) -> Uri:
            return Uri.parse(prefix.replace(OWNER, segment))

        try:
            return {kind: tuple(map(filled, self._oidc.prefixes.of(kind))) for kind in KINDS}
        except InvalidUri as error:
            raise Unauthorized(f"This token can't be used: its owner is no part of a prefix ({error})") from None


def _can_own(owner: str) -> bool:
    return 0 < len(owner) <= MOST_OWNER_CHARACTERS and owner.isascii() and owner.isprintable() and " " not in owner

"""The metadata on top of a model card, as the Hugging Face hub reads it; what it keeps of the source's own card.

The hub takes nothing but ids of its models as `base_model`. A source that lies in a store has one where its folder is
named as the id in its config, or as the hub's cache names it; else the models stand in that its own card names.
"""

import re
from collections.abc import Mapping

import yaml

from growth.plan import GrowthPlan
from jobs.schema import GrowthRequest, Untrained

MAX_CARD_BYTES = 1 << 16
KEPT = ("license", "license_name", "license_link", "language", "pipeline_tag")
"""What stays true of a grown model."""
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_CACHED = re.compile(r"/models--([^/]+?)--([^/]+)/")


def card_metadata(request: GrowthRequest, plan: GrowthPlan, source_card: bytes) -> str:
    """YAML for the top of the target's card; `source_card` is the README.md of the source, or its beginning."""
    told = _told(source_card)
    base = _source_id(request, plan) or [name for name in _texts(told.get("base_model")) if _HUB_ID.fullmatch(name)]
    metadata: dict[str, object] = {
        "library_name": "transformers",
        "tags": ["model-growth", plan.source.architecture.model_type, plan.method.name],
    }
    if base:
        metadata["base_model"] = base
    metadata |= {key: told[key] for key in KEPT if _texts(told.get(key))}
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _told(card: bytes) -> Mapping[str, object]:
    found = _FRONT_MATTER.match(card.decode(errors="replace"))
    try:
        told = yaml.safe_load(found[1]) if found else {}
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _texts(value: object) -> list[str]:
    """The value where it is a text or a list of texts, as a list; else none."""
    texts = value if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str)] if all(isinstance(text, str) for text in texts) else []


def _source_id(request: GrowthRequest, plan: GrowthPlan) -> str | None:
    if isinstance(request.source, Untrained):
        return None
    place = request.source.rstrip("/") + "/"
    if (cached := _CACHED.search(place)) is not None:
        return f"{cached[1]}/{cached[2]}"
    named = plan.source.raw.get("_name_or_path")
    fitting = isinstance(named, str) and _HUB_ID.fullmatch(named) and place.endswith(f"/{named.partition('/')[2]}/")
    return str(named) if fitting else None

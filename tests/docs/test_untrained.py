"""docs/untrained-sources.md lists every option of a training with its default, and its example can be planned."""

import json

from pydantic_core import PydanticUndefined

from growth.operators import parse_method
from growth.plan import make_plan
from growth.untrained import untrained_source
from jobs.schema import GrowthRequest, Pretraining, Untrained
from tests.docs.pages import blocks, sections

PAGE = "docs/untrained-sources.md"


def test_every_option_is_listed_with_its_default() -> None:
    rows = [row for section in sections(PAGE) for row in section.rows()]
    defaults = {name: field.default for name, field in Pretraining.model_fields.items()}
    expected = {name: "" if value is PydanticUndefined else str(value) for name, value in defaults.items()}
    assert {name: default for name, default, _ in rows} == expected


def test_the_example_can_be_planned() -> None:
    (example,) = blocks(PAGE, "json")
    request = GrowthRequest.model_validate(json.loads(example))
    assert isinstance(request.source, Untrained)
    source = untrained_source(request.source.config)
    method = parse_method({"name": request.method.name, **request.method.options})
    make_plan(source.config, source.tensors, request.target, method)

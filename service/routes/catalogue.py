"""What can be grown and how, read off the engine's own tables."""

from fastapi import APIRouter

from growth.architectures import ARCHITECTURES
from growth.axes import Architecture
from growth.config import SIZE_NAMES
from growth.operators import describe_methods
from jobs.schema import ArchitectureDescription, ArchitectureList, ExactGrowth, MethodDescription, MethodList
from service.auth import CurrentCaller, ProtectedRoute
from service.problems import declared

router = APIRouter(tags=["catalogue"], route_class=ProtectedRoute)


@router.get("/methods", responses=declared(401, 403, 500))
def list_methods(_caller: CurrentCaller) -> MethodList:
    """The growth methods and their options."""
    return MethodList(
        methods=[
            MethodDescription(
                name=info.name, summary=info.summary, paper=info.paper, fits=info.fits, options=info.options
            )
            for info in describe_methods()
        ]
    )


@router.get("/architectures", responses=declared(401, 403, 500))
def list_architectures(_caller: CurrentCaller) -> ArchitectureList:
    """The families of models that can be grown."""
    return ArchitectureList(architectures=[_described(family) for family in ARCHITECTURES.values()])


def _described(family: Architecture) -> ArchitectureDescription:
    return ArchitectureDescription(
        model_type=family.model_type,
        classes=sorted(family.headed_classes),
        norm=family.norm.kind,
        post_norm=family.norm.post,
        keys={name: family.keys.get(name, name) for name in SIZE_NAMES if name != "vocab_size"},
        exact=ExactGrowth(
            hidden_size="whole_multiples" if family.norm.post or family.padding_refusal else "any",
            num_hidden_layers=not family.norm.post,
            head_dim=not family.rotary and not family.head_dim_refusal,
        ),
    )

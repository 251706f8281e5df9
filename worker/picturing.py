"""The pictures of an operator as the file beside the checkpoint that the service tells from."""

from base64 import b64encode

from growth.operators.operator import GrowthOperator
from growth.operators.picture import Picture, pictures
from jobs.schema import MapPicture, OperatorPicture


def picture_bytes(operator: GrowthOperator) -> bytes:
    """The file, a few hundred kB at most."""
    shown, left_out = pictures(operator)
    return OperatorPicture(pictures=list(map(_told, shown)), left_out=left_out).model_dump_json().encode()


def _told(picture: Picture) -> MapPicture:
    return MapPicture(
        part=picture.part,
        key=picture.key,
        maps=list(picture.maps),
        shape=picture.shape,
        grid=picture.grid,
        peak=picture.peak,
        cells=b64encode(picture.cells).decode(),
    )

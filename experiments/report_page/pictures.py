"""Pictures as part of a page."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from experiments.style import FIGURE_STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIGNATURE, _END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class Picture(NamedTuple):
    """A PNG as a data URI, with its size in CSS pixels."""

    source: str
    width: int
    height: int


def read_picture(path: Path) -> Picture:
    """The PNG at `path`, shown as large as the figure was laid out. Raises ValueError or OSError naming the file."""
    data = path.read_bytes()
    if not (data.startswith(_SIGNATURE) and data.endswith(_END)):
        raise ValueError(f"{path}: is not a whole PNG")
    return _picture(data)


def drawn_picture(draw: Callable[[], Figure]) -> Picture:
    """The figure that `draw` makes, in the house style."""
    import matplotlib

    sink = BytesIO()
    with matplotlib.rc_context(cast(Any, FIGURE_STYLE)):
        draw().savefig(sink, format="png")
    return _picture(sink.getvalue())


def _picture(data: bytes) -> Picture:
    scale = FIGURE_STYLE["figure.dpi"] / FIGURE_STYLE["savefig.dpi"]
    width, height = struct.unpack(">II", data[16:24])
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return Picture(source, round(width * scale), round(height * scale))

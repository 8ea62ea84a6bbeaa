"""The graph of a network, from which all formats are written."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import Dim, ExportedProgram

from segkit.errors import UserError
from segkit.export.deployed import Deployed

INPUT = "image"


def graph_of(deployed: Deployed) -> ExportedProgram:
    """The graph for any number of pictures of any size.

    Raises:
        UserError: the network does something that a graph cannot hold.
    """
    # Two, and none of a length of 1: a graph would be made for that length alone. Larger than any window in both
    # directions, for the same reason.
    rows, columns = deployed.shown.image_shape
    image = torch.zeros(2, 3, 3 * rows + 1, 3 * columns + 1, dtype=torch.uint8)
    anything = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    try:
        with quietly(), torch.no_grad():
            return torch.export.export(deployed.eval(), (image,), dynamic_shapes=(anything,))
    except Exception as error:  # whatever a network of the user's own does in its forward
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"checkpoint: this network cannot be exported ({type(error).__name__}: {reason}); its forward must not "
            "depend on what is in a picture, nor turn tensors into numbers"
        ) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Without the exporters' own lines, which are of use to their authors alone."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

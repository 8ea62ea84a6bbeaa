"""What tells an averaged score apart from a plain one, wherever scores are shown."""

from collections.abc import Mapping
from typing import Any


def averaged(result: Mapping[str, Any]) -> str:
    """What was averaged over, such as ``average=[flip,0.75], mean of 3 networks``; empty of a plain score.

    Args:
        result: ``result.json`` of an evaluation.
    """
    views, networks = result.get("average", []), result.get("networks", 1)
    words = [f"average=[{','.join(map(str, views))}]"] if views else []
    return ", ".join([*words, f"mean of {networks} networks"] if networks > 1 else words)

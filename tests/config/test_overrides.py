"""What is handed to Hydra comes out of its grammar as it went in."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.config.overrides import override

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="$"))
PLAIN = st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6) | TEXT
KEYS = st.text("abcdefgh_", min_size=1)


@settings(derandomize=True, max_examples=300)
@given(st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)))
def test_any_value_survives_the_grammar(value: Any) -> None:
    parsed = OverridesParser.create().parse_override(override("data.key", value)).value()
    assert repr(plain(parsed)) == repr(value)


def plain(value: Any) -> Any:
    """Hydra's quoted texts as text."""
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.text if hasattr(value, "text") and not isinstance(value, str) else value

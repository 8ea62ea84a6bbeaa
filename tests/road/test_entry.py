"""The road scores of evaluations side by side."""

from segkit.evaluation.entry import labels
from segkit.road.entry import score_rows
from tests.evaluation.test_entry import SWEEP, row


def test_several_evaluations_show_the_total_clean_once_and_what_was_lost() -> None:
    head, *rows = score_rows(labels(SWEEP), [item.result for item in SWEEP])
    assert head == ["network", "view", "benchmark", "pictures", "MaxF", "AP", "PRE", "REC", "FPR", "FNR", "MaxF lost"]
    assert [(line[0], line[2], line[3], line[4], line[-1]) for line in rows] == [
        ("augment=flip", "URBAN_ROAD", "clean", "90.00", ""),
        ("augment=flip", "URBAN_ROAD", "shadow 1", "87.50", "2.50"),
        ("augment=flip", "URBAN_ROAD", "shadow 3", "82.50", "7.50"),
        ("augment=road", "URBAN_ROAD", "clean", "91.00", ""),
        ("augment=road", "URBAN_ROAD", "shadow 1", "88.50", "2.50"),
        ("augment=road", "URBAN_ROAD", "shadow 3", "83.50", "7.50"),
    ]


def test_a_single_evaluation_shows_every_benchmark() -> None:
    plain = {"perspective": {"UM_ROAD": row(None) | {"reason": "no pictures"}}}
    head, line = score_rows([""], [plain])
    assert head == ["view", "benchmark", "pictures", "MaxF", "AP", "PRE", "REC", "FPR", "FNR"]
    assert line == ["perspective", "UM_ROAD", "clean", *["–"] * 6]

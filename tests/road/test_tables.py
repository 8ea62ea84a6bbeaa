from math import nan

from segkit.road.tables import leaderboard, side_by_side

NAMES = ("MaxF", "AP", "PRE", "REC", "FPR", "FNR", "threshold")


def figures(*values: float) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


GOOD = figures(95.126, 93.1, 94.0, 96.284, 3.5, 3.716, 128 / 255)
FULL = figures(100.0, 100.0, 100.0, 100.0, nan, 0.0, 0.0)
NONE = figures(*[nan] * 7)


def test_the_leaderboard_shows_percent_and_says_why_figures_are_missing():
    table = leaderboard({"UM_ROAD": GOOD, "UMM_ROAD": FULL, "UU_ROAD": NONE}, {"UU_ROAD": "no pictures"})
    assert table.split("\n") == [
        "Benchmark      MaxF        AP       PRE       REC     FPR     FNR  threshold",
        "UM_ROAD     95.13 %   93.10 %   94.00 %   96.28 %  3.50 %  3.72 %      0.502",
        "UMM_ROAD   100.00 %  100.00 %  100.00 %  100.00 %       –  0.00 %      0.000",
        "UU_ROAD           –         –         –         –       –       –          –  no pictures",
    ]


def test_clean_and_corrupted_figures_are_neighbours_and_losses_are_those_of_maxf_and_ap():
    worse = figures(90.0, 93.6, 88.0, 92.09, 6.0, 7.91, 0.25)
    table = side_by_side({"UM_ROAD": GOOD, "URBAN_ROAD": NONE}, {"UM_ROAD": worse, "URBAN_ROAD": NONE}, "shadow 3")
    assert table.split("\n") == [
        "Benchmark                clean  shadow 3     loss",
        "UM_ROAD     MaxF       95.13 %   90.00 %   5.13 %",
        "            AP         93.10 %   93.60 %  -0.50 %",
        "            PRE        94.00 %   88.00 %",
        "            REC        96.28 %   92.09 %",
        "            FPR         3.50 %    6.00 %",
        "            FNR         3.72 %    7.91 %",
        "            threshold    0.502     0.250",
        "URBAN_ROAD  MaxF             –         –        –",
        "            AP               –         –        –",
        "            PRE              –         –",
        "            REC              –         –",
        "            FPR              –         –",
        "            FNR              –         –",
        "            threshold        –         –",
    ]

"""Tables of texts on a console."""

from segkit.console import table


def test_columns_stand_two_blanks_apart_and_numbers_flush_right() -> None:
    rows = [["Class", "IoU", "why"], ["road", "100.00 %", ""], ["pole [1/2]", "–", "in no label, " + "x" * 300]]
    assert table(rows, left={0, 2}).split("\n") == [
        "Class            IoU  why",
        "road        100.00 %",
        "pole [1/2]         –  in no label, " + "x" * 300,
    ]


def test_a_head_of_several_lines_takes_no_more_room_than_its_longest() -> None:
    assert table([["run", "best\nepoch"], ["a", "3"]]).split("\n") == ["      best", "run  epoch", "a        3"]

"""What run folders hold, as tables, figures and pages: a run or evaluations as an entry, many runs side by side."""

"""The page's picture in the README: ``python -m tests.serve.screenshot <run folder> docs/serve.jpg``.

The run's data are generated scenes, one of whose test pictures is shown. With a third word, ``all``, the page is
shown on a phone and on a desk, light and dark, to be looked at.
"""

import sys
from pathlib import Path

import segkit
from segkit.runs.find import find_runs
from segkit.serve.pictures import find_test_pictures
from tests.serve.browser import SIZES, chromium, opened, painted
from tests.serve.serving import serving

NUMBER = 4
"""Of the test picture."""


def main(run: str, into: str, which: str = "one") -> None:
    data = find_runs(run)[0].settings()["data"]
    pictures, reason = find_test_pictures(data, ())
    assert pictures, reason
    sizes = list(SIZES) if which == "all" else ["desk"]
    schemes = ["light", "dark"] if which == "all" else ["light"]
    with (
        serving(segkit.load(run), pictures=pictures, about={"checkpoint": [run]}) as (_, server, _),
        chromium() as browser,
    ):
        for size in sizes:
            for scheme in schemes:
                with opened(browser, server.address, size, scheme) as page:
                    page.locator("#pictures button").nth(NUMBER).click()
                    painted(page, pictures[NUMBER].name)
                    page.mouse.move(0, 0)
                    page.wait_for_load_state("networkidle")
                    path = Path(into)
                    if which == "all":
                        path = path.with_stem(f"{path.stem}-{size}-{scheme}")
                    page.screenshot(path=path, type="jpeg", quality=88, full_page=size == "phone")


if __name__ == "__main__":
    main(*sys.argv[1:])

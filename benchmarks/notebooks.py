"""How quickly panels answer, and what each notebook costs: seconds until it is through, megabytes once saved.

    python benchmarks/notebooks.py [--json FILE] [--moves 48]

All in a headless Chromium against a JupyterLab that is started for it, as a user has them.

A redraw is timed in the page: from the key's release on the split slider of notebook 01 until plotly has
drawn a figure whose chosen split is another. One move at a time; the new plan's accuracy is measured
meanwhile in a process of its own, as it is for a user.

A notebook's seconds go from opening its page, with a fresh kernel, to its last cell being through; its
megabytes are those of the file that JupyterLab then saves.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from playwright.sync_api import Browser, Page

from tests.browser.lab import REPOSITORY, Lab, chromium, serving
from tests.browser.pages import menu, opened, run_all
from tests.browser.panel import Panel

TARGETS = {
    "redraw_ms_median": 150.0,
    "redraw_ms_p95": 400.0,
    "notebook_seconds_max": 180.0,
    "notebook_mb_max": 6.0,
}
NOTEBOOKS = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))
EXPLORER = "01_split_explorer.ipynb"
WARM_UP = 5
PAUSE_MS = 150  # between moves: whoever drags a slider looks at what it does
WATCH = """(g) => {
  window.redraws = [];
  let released = 0, before = "";
  const looks = () => JSON.stringify([g.data[0].x, g.layout.shapes]);
  const handle = g.closest(".wb-panel").querySelector(".wb-row .noUi-handle");
  handle.addEventListener("keydown", () => { before = looks(); }, true);
  handle.addEventListener("keyup", () => { released = performance.now(); }, true);
  g.on("plotly_afterplot", () => {
    if (!released || looks() === before) return;
    window.redraws.push(performance.now() - released);
    released = 0;
  });
}"""


def main() -> None:
    """Measure, print every figure beside its target, write the record."""
    arguments = _arguments()
    with TemporaryDirectory() as folder, chromium() as browser, _served(Path(folder)) as lab:
        cases = [notebook_case(browser, lab, name) for name in NOTEBOOKS]
        redraws = redraw_times(browser, lab, arguments.moves)
    figures = {
        "redraw_ms_median": statistics.median(redraws),
        "redraw_ms_p95": statistics.quantiles(redraws, n=20)[-1],
        "notebook_seconds_max": max(float(case["seconds"]) for case in cases),
        "notebook_mb_max": max(float(case["mb"]) for case in cases),
    }
    for name, value in figures.items():
        print(f"{name:22} {value:8.1f}   target at most {TARGETS[name]:g}")
    if arguments.json:
        cases.append({"what": "redraw after a key on the slider", "ms": redraws})
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(_record(figures, cases), indent=1), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the record there")
    parser.add_argument("--moves", type=int, default=48, help="moves of the slider (default 48)")
    return parser.parse_args()


def _record(figures: dict[str, float], cases: list[dict[str, object]]) -> dict[str, object]:
    packages = ("jupyterlab", "ipywidgets", "plotly", "anywidget", "playwright")
    return {
        "benchmark": "notebooks",
        "host": {"machine": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()},
        "versions": {name: version(name) for name in packages},
        "figures": figures,
        "cases": cases,
    }


def _served(folder: Path) -> AbstractContextManager[Lab]:
    return serving(folder, folder / "server.log")


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 1300})
    try:
        yield context.new_page()
    finally:
        context.close()


def notebook_case(browser: Browser, lab: Lab, name: str) -> dict[str, object]:
    """Seconds from opening a notebook to its end, and the size of what is saved then."""
    path = lab.root / "notebooks" / name
    with _page(browser) as page:
        began = perf_counter()
        run_all(page, opened(page, lab, f"notebooks/{name}"))
        seconds = perf_counter() - began
        _save(page, path)
        menu(page, "Kernel", "Shut Down Kernel")
    mb = path.stat().st_size / 1e6
    print(f"{name:28} {seconds:6.1f} s {mb:8.2f} MB")
    return {"what": name, "seconds": seconds, "mb": mb}


def _save(page: Page, path: Path) -> None:
    before = path.stat().st_mtime_ns
    menu(page, "File", "Save Notebook")
    for _ in range(300):
        if path.stat().st_mtime_ns != before:
            return
        page.wait_for_timeout(100)
    raise TimeoutError(f"JupyterLab did not save {path.name}")


def redraw_times(browser: Browser, lab: Lab, moves: int) -> list[float]:
    """Milliseconds from each release of a key on the slider to the redrawn figure."""
    name = f"notebooks/{EXPLORER}"
    with _page(browser) as page:
        run_all(page, opened(page, lab, name))
        panel = Panel(page)
        panel.figure.scroll_into_view_if_needed()
        panel.figure.evaluate(WATCH)
        panel.handle("Split point").focus()
        for number in range(WARM_UP + moves):
            page.keyboard.press("ArrowRight" if number % 8 < 4 else "ArrowLeft")
            page.wait_for_function(f"window.redraws.length > {number}", polling=20)
            page.wait_for_timeout(PAUSE_MS)
        taken: list[float] = page.evaluate("window.redraws")
        menu(page, "Kernel", "Shut Down Kernel")
    return taken[WARM_UP:]


if __name__ == "__main__":
    main()

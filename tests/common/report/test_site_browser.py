"""The published pages in headless Chromium, on a wide screen and a telephone's: nothing reaches beyond the edge, nothing is
fetched from outside, every picture is shown. Skipped where no Chromium is installed."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted((ROOT / "docs/site").glob("*.html"))
WIDTHS = (1300, 400)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: install chromium")

# Each page in a frame of each width, once as it opens and once with all folds open; what is found stands in the page at its end.
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><body><pre id="found"></pre><script>
const jobs = %s, found = [];
const load = (address, width) => new Promise(resolve => {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px; border: 0`;
  frame.onload = () => resolve(frame);
  frame.src = address;
  document.body.append(frame);
});
const measure = async () => {
  for (const [address, width] of jobs) {
    const frame = await load(address, width), inside = frame.contentDocument, root = inside.documentElement;
    const closed = root.scrollWidth;
    inside.querySelectorAll("details").forEach(node => node.open = true);
    const pictures = [...inside.images];
    pictures.forEach(node => node.loading = "eager");
    await Promise.all(pictures.map(node => node.complete || new Promise(done => { node.onload = node.onerror = done; })));
    found.push({address, width, closed, opened: root.scrollWidth, pictures: pictures.length,
      broken: pictures.filter(node => !node.naturalWidth).map(node => node.src),
      cut: pictures.filter(node => {
        const box = node.closest(".scroll") || node.parentElement;
        return node.naturalWidth && node.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
      }).map(node => node.currentSrc),
      scripts: inside.scripts.length, title: inside.title,
      outside: frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name)
        .filter(name => !/^(file|data):/.test(name))});
    frame.remove();
  }
  document.getElementById("found").textContent = JSON.stringify(found);
};
measure();
</script>"""


def look_at(pages: list[Path], folder: Path) -> list[dict]:
    """What Chromium finds on the pages, each at each width."""
    jobs = [(page.as_uri(), width) for page in pages for width in WIDTHS]
    harness = folder / "harness.html"
    harness.write_text(HARNESS % json.dumps(jobs), encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-background-networking --hide-scrollbars --allow-file-access-from-files"
    )
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--window-size=1400,1000", "--virtual-time-budget=600000", "--dump-dom", harness.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text, done.stderr[-2000:]
    assert text[1], "the pages were not measured in time"
    return json.loads(unescape(text[1]))


def test_published_pages_fit_show_all_pictures_and_fetch_nothing(tmp_path):
    found = look_at(PAGES, tmp_path)
    assert len(found) == len(PAGES) * len(WIDTHS) > 10
    assert not [(item["address"], item["width"], item["closed"]) for item in found if item["closed"] > item["width"]]
    assert not [(item["address"], item["width"], item["opened"]) for item in found if item["opened"] > item["width"]]
    assert not [broken for item in found for broken in item["broken"]]
    assert not [(item["width"], picture) for item in found for picture in item["cut"]]  # its marks would be out of sight
    assert not [address for item in found for address in item["outside"]]
    assert not sum(item["scripts"] for item in found)
    assert all(item["title"] for item in found)
    assert max(item["pictures"] for item in found) > 10


def test_a_page_that_is_too_wide_fetches_or_lacks_a_picture_is_found(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<title>bad</title><div style="width: 700px">wide</div><details><div style="width: 2000px">wider</div></details>'
        '<img src="http://127.0.0.1:9/outside.png"><img src="absent.png">'
        f'<div class="scroll" style="overflow-x: auto"><img src="{ROOT.as_uri()}/docs/site/papers.svg"></div>'
    )
    wide, narrow = look_at([page], tmp_path)
    assert (wide["closed"], narrow["closed"]) == (1300, 708)  # with the margin of the body
    assert min(wide["opened"], narrow["opened"]) >= 2000
    assert wide["outside"] == ["http://127.0.0.1:9/outside.png"]
    assert len(wide["broken"]) == 2
    assert (wide["cut"], [Path(name).name for name in narrow["cut"]]) == ([], ["papers.svg"])  # 980 pixels wide

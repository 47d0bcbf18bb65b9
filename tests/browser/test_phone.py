"""A phone of 390 pixels: no page is wider, and no text of it is cut or beyond the edge."""

from __future__ import annotations

import playwright.sync_api as playwright
import pytest
from chrome import PAGES, Tab

# Texts of the page, inside components too, that no hand can bring into view. What ends in an
# ellipsis says so; what stands in something that scrolls can be scrolled to. Code is left out: the
# spaces that hang over the end of its lines count as its width.
HIDDEN = """() => {
    const found = new Set(), main = document.querySelector('[data-testid=stMain]');
    const say = (what, node) => found.add(`${what}: ${node.textContent.trim().slice(0, 60)}`);
    if (main.scrollWidth > main.clientWidth) found.add(`the page is ${main.scrollWidth} px wide`);
    const scrolls = (node) => {
        for (let at = node; at && at !== main; at = at.parentElement)
            if (['auto', 'scroll'].includes(getComputedStyle(at).overflowX)
                && at.scrollWidth > at.clientWidth) return true;
        return false;
    };
    const all = (root) => [...root.querySelectorAll('*')].flatMap(
        (node) => [node, ...(node.shadowRoot ? all(node.shadowRoot) : [])]);
    const hasText = (node) => [...node.childNodes].some(
        (child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim());
    for (const node of all(main)) {
        if (!hasText(node) || !node.checkVisibility({ visibilityProperty: true })
            || node.closest('canvas, option, style, .katex, pre')) continue;
        const box = node.getBoundingClientRect();
        const { overflowX, textOverflow } = getComputedStyle(node);
        if (!box.width || box.height < 2) continue;
        if ((box.right > innerWidth + 1 || box.left < -1) && !scrolls(node))
            say('beyond the edge', node);
        const svg = node.ownerSVGElement?.getBoundingClientRect();
        if (svg && (box.right > svg.right + 2 || box.left < svg.left - 2)) say('cut', node);
        if (!svg && overflowX === 'hidden' && textOverflow !== 'ellipsis'
            && node.scrollWidth > node.clientWidth + 2) say('cut', node);
    }
    return [...found];
}"""


@pytest.fixture
def phone(tab: Tab) -> Tab:
    tab.page.set_viewport_size({"width": 390, "height": 844})
    return tab


def test_no_text_of_any_page_is_cut_on_a_phone(phone: Tab) -> None:
    found = {}
    for page in PAGES:
        phone.open(f"/{page}?run=habit" + ("&token=603" if page == "token" else ""))
        playwright.expect(phone.page.get_by_role("heading", level=1)).to_be_visible()
        phone.rest()
        found[page] = phone.page.evaluate(HIDDEN)
    assert {page: cut for page, cut in found.items() if cut} == {}


def test_what_is_cut_is_found(phone: Tab) -> None:
    phone.open("/session")
    title = phone.page.get_by_role("heading", level=1)
    phone.rest()
    title.evaluate("node => { node.style.marginLeft = '370px'; node.style.whiteSpace = 'nowrap'; }")
    assert any("Train a student" in line for line in phone.page.evaluate(HIDDEN))

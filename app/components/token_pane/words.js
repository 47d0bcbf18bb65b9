// The text itself: one element a token, built once. From WINDOWED tokens on it is cut into blocks
// of which the browser lays out and paints only those near the screen: a change of one highlight
// repaints all text that is painted at all (8,000 tokens, two busy cores: 110 ms in one piece, 30
// ms in blocks).

const WINDOWED = 2_000,
  BLOCK = 200,
  MOST = 4 * BLOCK,
  LONGEST = 10_000; // letters of one token that are drawn: each line break is an element

function buildWords(pane) {
  const { tokens } = pane.text;
  const response = element("div", "response");
  response.setAttribute("role", "listbox");
  response.setAttribute(
    "aria-label",
    `Response, ${tokens.length} tokens. Arrow keys move from token to token; ? lists the keys.`,
  );
  pane.spans = tokens.map((token, i) => buildToken(token, i));
  if (pane.spans.length) pane.spans[0].tabIndex = 0;
  pane.blocks = tokens.length < WINDOWED ? [] : cutIntoBlocks(tokens, pane.spans);
  response.append(...(pane.blocks.length ? pane.blocks.map(({ node }) => node) : pane.spans));
  pane.response = response;
  pane.stop = 0;
  listenToWords(pane);
  return response;
}

function cutIntoBlocks(tokens, spans) {
  // Cut after a line break where there is one, so that the cut does not show.
  const found = [];
  let block = [];
  spans.forEach((span, i) => {
    block.push(span);
    const full = block.length >= BLOCK && tokens[i].endsWith("\n");
    if (full || block.length >= MOST || i === spans.length - 1) {
      const node = element("div", "block");
      node.setAttribute("role", "presentation");
      node.append(...block);
      found.push({ node, from: i + 1 - block.length, to: i + 1 });
      block = [];
    }
  });
  return found;
}

function buildToken(token, i) {
  const span = element("span", "t");
  span.dataset.i = i;
  span.tabIndex = -1;
  span.setAttribute("role", "option");
  nameBlank(span, token);
  // A line break gets a mark that is drawn by the style sheet, so that copied text stays the text.
  for (const part of shortened(token).split(/(\n)/)) {
    if (part === "\n") {
      const mark = element("i", "newline");
      mark.setAttribute("aria-hidden", "true");
      span.append(mark, "\n");
    } else if (part) {
      const hidden = part.replaceAll("\t", "").search(OBEYED) >= 0;
      span.append(hidden ? visible(part) : part);
    }
  }
  return span;
}

function shortened(token) {
  const more = token.length - LONGEST;
  return more > 0 ? `${token.slice(0, LONGEST)}… and ${whole(more)} characters more` : token;
}

function nameBlank(span, token) {
  // white space alone is no name to a screen reader
  if (!token.trim()) span.setAttribute("aria-label", visible(shortened(token)));
}

function listenToWords(pane) {
  const at = (event) => {
    const span = event.target.closest?.(".t");
    return span ? Number(span.dataset.i) : null;
  };
  pane.response.addEventListener("pointerover", (event) => {
    const i = at(event);
    if (i !== null) describe(pane, i);
  });
  pane.response.addEventListener("focusin", (event) => {
    const i = at(event);
    if (i !== null) select(pane, i);
  });
  pane.response.addEventListener("focusout", (event) => {
    const i = at(event);
    if (i === null) return;
    pane.spans[i].removeAttribute("aria-label");
    nameBlank(pane.spans[i], pane.text.tokens[i]);
  });
  pane.response.addEventListener("keydown", (event) => {
    const i = at(event);
    const target =
      i === null || event.altKey || event.ctrlKey || event.metaKey
        ? null
        : neighbour(pane.spans, i, event.key);
    if (target === null) return;
    event.preventDefault();
    pane.spans[target].focus();
  });
}

function select(pane, i) {
  mark(pane, i);
  pane.spans[i].setAttribute("aria-label", inWords(pane, i));
}

function mark(pane, i) {
  pane.spans[pane.stop].tabIndex = -1; // one stop for the Tab key, where the arrow keys left off
  pane.spans[i].tabIndex = 0;
  if (pane.state.token !== null && pane.spans[pane.state.token])
    pane.spans[pane.state.token].removeAttribute("aria-selected");
  pane.spans[i].setAttribute("aria-selected", "true");
  pane.stop = i;
  describe(pane, i);
  change(pane, { token: i });
}

function neighbour(spans, i, key) {
  const last = spans.length - 1;
  if (key === "ArrowRight") return Math.min(i + 1, last);
  if (key === "ArrowLeft") return Math.max(i - 1, 0);
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  // The token nearest by x on the next line that holds one.
  const step = key === "ArrowDown" ? 1 : -1;
  const { left, top } = spans[i].getClientRects()[0];
  let best = i,
    line = null,
    distance = Infinity;
  for (let j = i + step; j >= 0 && j <= last; j += step) {
    const box = spans[j].getClientRects()[0];
    if (!box || Math.abs(box.top - top) < 4) continue;
    if (line === null) line = box.top;
    if (Math.abs(box.top - line) >= 4) break;
    if (Math.abs(box.left - left) < distance) [best, distance] = [j, Math.abs(box.left - left)];
  }
  return best;
}

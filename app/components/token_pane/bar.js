// The bar above the text and the keys that do the same: Rock Tokens, rollouts, steps, search, play,
// help; and below the text its files.

const PLAY_MS = 600;
const MARGIN = 80; // pixels above and below, which a head or a card may lie over
const LONGEST_SEARCH = 200; // letters, which the link carries
// key, what it does
const KEYS = [
  ["← → ↑ ↓ Home End", "from token to token"],
  ["n / N", "next / previous Rock Token"],
  ["k / j", "next / previous rollout"],
  ["] / [", "step forward / back"],
  ["Space", "play through the steps, or stop"],
  ["/", "search in the text"],
  ["Enter / Shift+Enter", "in the search: next / previous place"],
  ["p", "pin or unpin the card"],
  ["f", "show or fold the filters"],
  ["l", "copy a link to this token"],
  ["Esc", "leave the search, put this list away"],
  ["?", "this list"],
];

function buildBar(pane) {
  const bar = element("div", "tools");
  const step = element("output", "step");
  step.setAttribute("aria-live", "polite");
  const play = button("play", "▶ play", "Play through the steps (Space)", () => togglePlay(pane));
  const search = element("input", "search");
  Object.assign(search, { type: "search", placeholder: "Search (/)" });
  search.setAttribute("aria-label", "Search in the text");
  search.maxLength = LONGEST_SEARCH;
  search.addEventListener("input", () => {
    findText(pane, search.value);
    change(pane, { find: search.value, hit: 0 });
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") nextHit(pane, event.shiftKey ? -1 : 1);
    if (event.key === "Escape") pane.spans[pane.stop]?.focus();
  });
  const hits = element("span", "hits");
  hits.setAttribute("role", "status");
  const fold = button("fold", "", "Which tokens to show: by threshold, category, class", () =>
    foldFilters(pane),
  );
  fold.setAttribute("aria-controls", "filters");
  const rollouts = [
    button("before", "‹ rollout", "Previous rollout (j)", () => toRollout(pane, -1)),
    button("after", "rollout ›", "Next rollout (k)", () => toRollout(pane, 1)),
  ];
  bar.append(
    ...rollouts,
    button("back", "‹", "Step back ([)", () => toStep(pane, -1)),
    step,
    button("forward", "›", "Step forward (])", () => toStep(pane, 1)),
    play,
    button("rock", "‹ Rock", "Previous occurrence of a Rock Token (N)", () => toRock(pane, -1)),
    button("rock next", "Rock ›", "Next occurrence of a Rock Token (n)", () => toRock(pane, 1)),
    search,
    hits,
    fold,
    button("ask", "?", "All keys (?)", () => pane.help.showModal()),
  );
  pane.bar = { root: bar, step, play, search, hits, fold, rollouts };
  pane.hits = [];
  pane.help = buildHelp();
  pane.told = element("p", "told");
  pane.told.setAttribute("role", "status");
  bar.append(pane.told, pane.help);
  return bar;
}

function buildFiles(pane) {
  const files = element("div", "files");
  files.append(
    element("span", "title", "Save this view"),
    button("export html", "HTML", "One HTML file that needs no network", () =>
      saveView(pane, "html"),
    ),
    button("export png", "PNG", "A picture", () => saveView(pane, "png")),
    button("export svg", "SVG", "A picture that can be scaled", () => saveView(pane, "svg")),
  );
  return files;
}

function buildHelp() {
  const dialog = element("dialog", "help");
  const list = element("dl", "keys");
  for (const [key, what] of KEYS) list.append(element("dt", "", key), element("dd", "", what));
  const close = button("close", "Close", "Close (Esc)", () => dialog.close());
  dialog.append(element("b", "", "Keys, while the pane has the focus"), list, close);
  return dialog;
}

function announce(pane, text) {
  write(pane.told, text);
}

function drawBar(pane) {
  const { bar, view, state } = pane;
  const { steps } = view,
    at = steps.indexOf(state.step);
  write(bar.step, `step ${state.step}, ${at + 1} of ${steps.length}`);
  bar.play.hidden = !pane.text.series || steps.length < 2;
  write(bar.play, pane.playing ? "■ stop" : "▶ play");
  bar.rollouts.forEach((node, k) => (node.disabled = (k ? view.after : view.before) === null));
}

function listenToKeys(pane) {
  pane.root.addEventListener("keydown", (event) => {
    if (
      event.altKey ||
      event.ctrlKey ||
      event.metaKey ||
      event.target.closest("input, select, dialog")
    )
      return;
    const onButton = event.target.closest("button");
    const act = {
      n: () => toRock(pane, 1),
      N: () => toRock(pane, -1),
      k: () => toRollout(pane, 1),
      j: () => toRollout(pane, -1),
      "]": () => toStep(pane, 1),
      "[": () => toStep(pane, -1),
      "/": () => pane.bar.search.focus(),
      "?": () => pane.help.showModal(),
      p: () => pane.current !== null && pin(pane, pane.current),
      f: () => foldFilters(pane),
      l: () => pane.current !== null && copyLink(pane, pane.current),
      " ": () => togglePlay(pane),
      Escape: () => stopPlay(pane),
    }[event.key];
    if (!act || (onButton && event.key === " ")) return;
    event.preventDefault();
    event.stopPropagation(); // Streamlit has keys of its own
    act();
  });
}

function toRollout(pane, way) {
  const rollout = way > 0 ? pane.view.after : pane.view.before;
  if (rollout === null)
    return announce(pane, way > 0 ? "This is the last rollout." : "This is the first rollout.");
  change(pane, { rollout, token: null, span: [], pins: [], hit: 0 }, 0); // positions of one text
}

function toStep(pane, way) {
  const { steps } = pane.view,
    next = steps[steps.indexOf(pane.state.step) + way];
  if (next === undefined)
    return announce(
      pane,
      way > 0 ? "This is the last logged step." : "This is the first logged step.",
    );
  showStep(pane, next);
}

function showStep(pane, step, wait) {
  // pins are positions of one text, and a fresh rollout is another at each step
  change(pane, pane.text.series ? { step } : { step, pins: [], hit: 0 }, wait);
  if (!pane.text.series) return;
  paint(pane);
  redescribe(pane);
}

function togglePlay(pane) {
  if (pane.playing) return stopPlay(pane);
  const { steps } = pane.view;
  if (!pane.text.series || steps.length < 2)
    return announce(pane, "Only a probe text, logged at several steps, can be played.");
  const ahead = () => {
    const next = steps[steps.indexOf(pane.state.step) + 1];
    if (next === undefined || !pane.root.isConnected) return stopPlay(pane);
    showStep(pane, next, null); // Python hears where it ends
  };
  if (steps.at(-1) === pane.state.step) showStep(pane, steps[0], null);
  pane.playing = setInterval(ahead, PLAY_MS);
  drawBar(pane);
}

function stopPlay(pane) {
  if (!pane.playing) return;
  clearInterval(pane.playing);
  pane.playing = null;
  drawBar(pane);
  change(pane, {}, 0);
}

function toRock(pane, way) {
  const n = pane.spans.length;
  const from = pane.state.token ?? (way > 0 ? -1 : n);
  for (let i = from + way; i >= 0 && i < n; i += way) {
    if (isRock(pane, i)) return goTo(pane, i);
  }
  announce(
    pane,
    pane.marks
      ? `No ${way > 0 ? "further" : "earlier"} occurrence here is high, recurring and in the set.`
      : `No ${way > 0 ? "further" : "earlier"} token is above the threshold.`,
  );
}

function goTo(pane, i) {
  pane.spans[i].focus({ preventScroll: true });
  bringIntoView(pane.spans[i]);
}

// A token that is seen stays where it is.
function bringIntoView(span) {
  const { top, bottom } = span.getBoundingClientRect();
  if (top < MARGIN || bottom > innerHeight - MARGIN) span.scrollIntoView({ block: "center" });
}

function findText(pane, wanted) {
  const { tokens } = pane.text;
  pane.hits = [];
  const inside = new Uint8Array(tokens.length);
  if (wanted) {
    const ends = [];
    let length = 0;
    for (const token of tokens) ends.push((length += token.length));
    const all = tokens.join("").toLowerCase(),
      needle = wanted.toLowerCase();
    for (
      let at = all.indexOf(needle), i = 0;
      at >= 0;
      at = all.indexOf(needle, at + needle.length)
    ) {
      while (ends[i] <= at) i++;
      pane.hits.push(i);
      for (let j = i; j < tokens.length && (j === i || ends[j - 1] < at + needle.length); j++)
        inside[j] = 1;
    }
  }
  pane.layers.decorate("found", (i) => inside[i]);
  drawHits(pane);
  drawLines(pane);
}

function drawHits(pane) {
  const { find, hit } = pane.state,
    n = pane.hits.length;
  const said = hit && hit <= n ? `${hit} of ${whole(n)}` : `${whole(n)} found`;
  write(pane.bar.hits, find ? said : "");
}

// The words of the link in the search field, and what they find in this text.
function seatSearch(pane) {
  const { search } = pane.bar,
    { find } = pane.state;
  if (search.value !== find && pane.root.getRootNode().activeElement !== search)
    search.value = find;
  if (find || pane.hits.length) findText(pane, find);
}

function nextHit(pane, way) {
  if (!pane.hits.length) return;
  const n = pane.hits.length,
    { hit } = pane.state;
  const next = hit ? ((hit - 1 + way + n) % n) + 1 : way > 0 ? 1 : n;
  const i = pane.hits[next - 1];
  mark(pane, i);
  change(pane, { hit: next });
  drawHits(pane);
  bringIntoView(pane.spans[i]);
}

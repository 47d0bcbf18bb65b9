// The lines below tokens, and what they mean. Each lies on a bed in the colour of the page, so that
// it is seen on every fill and outside of it, in both themes. Lines of different sorts lie at
// different depths: none hides another.

const LINES = {
  cut: { is: "thin", style: "solid", px: 1, depth: 4, },
  m1: { is: "dotted", style: "dotted", px: 2, depth: 6, means: "high before and after" },
  m2: { is: "dashed", style: "dashed", px: 2, depth: 6, means: "high, and recurring in similar contexts" },
  m3: {
    is: "thick",
    style: "solid",
    px: 3,
    depth: 6,
    means: "high, recurring and in the set: a Rock Token",
  },
  lit: { is: "double", style: "double", px: 1, tall: 3, depth: 10 },
  found: { is: "wavy", style: "wavy", px: 1.5, tall: 5, depth: 9, means: "found by the search" },
};

function bedOf(line) {
  return `${line}-bed`;
}

// layer name -> declarations, for each line and its bed
function styleLines({ page, text }) {
  const found = {};
  const underline = (style, px, colour, depth) =>
    `text-decoration: underline ${style} ${px}px ${colour}; text-underline-offset: ${depth}px`;
  for (const [name, { style, px, tall = px, depth }] of Object.entries(LINES)) {
    found[bedOf(name)] = underline("solid", tall + 2, page, depth - 1);
    found[name] = underline(style, px, text, depth);
  }
  return found;
}

// Draw these lines below what stands in a node, instead of those before. One element has one line:
// so one for each, nested.
function underline(node, lines) {
  let inner = node;
  while (inner.firstElementChild?.localName === "u") inner = inner.firstElementChild;
  const content = [...inner.childNodes];
  node.replaceChildren();
  for (const name of [...lines.map(bedOf), ...lines]) {
    const wrapper = node.ownerDocument.createElement("u");
    wrapper.className = name;
    node.append(wrapper);
    node = wrapper;
  }
  node.append(...content);
}

// What the legend explains: { layer, is, means } of each line, and of faint text, that this view
// can have.
function linesInUse(pane) {
  const { now, view, state, marks } = pane;
  const sorts = [];
  if (hasCutLine(pane)) sorts.push("cut");
  if (marks) sorts.push(...marksShown(view).map((mark) => `m${mark}`));
  if (now.chosen && state.rest === "underline") sorts.push("lit");
  if (pane.hits.length) sorts.push("found");
  const lines = sorts.map((layer) => ({
    layer,
    is: LINES[layer].is,
    means: layer === "cut" ? aboveWhat(pane) : (LINES[layer].means ?? passesWhat(pane)),
  }));
  if (now.chosen && state.rest === "dim")
    lines.push({ layer: DIM, is: "faint", means: `not ${passesWhat(pane)}` });
  return lines;
}

function hasCutLine({ view, now }) {
  return !view.quiet && view.scale.kind !== "class" && now.cut !== null && Boolean(now.values);
}

function aboveWhat(pane) {
  return {
    tau: "at or above τ, the rule's threshold",
    moved: "at or above the threshold moved by hand",
    usual: `at or above the threshold that ${BELOW_MARK}`,
    "": "at or above the threshold",
  }[sortOfCut(pane)];
}

function marksShown(view) {
  return view.quiet ? [1, 2, 3] : [2, 3];
}

function passesWhat({ state }) {
  const { light, classes, only, span, types } = state;
  const all = [
    light.join(" or "),
    classes.join(" or "),
    ...only.map((name) => ONLY[name]),
    span.length || types.length ? "selected in Steps" : "",
  ].filter(Boolean);
  return all.length === 1 ? all[0] : `all of: ${all.join("; ")}`;
}

function explainLine({ layer, is, means }, page) {
  const item = page.createElement("li"),
    sample = page.createElement("span");
  sample.textContent = is;
  if (layer in LINES) underline(sample, [layer]);
  else sample.className = layer;
  item.append(sample, `: ${means}`);
  return item;
}

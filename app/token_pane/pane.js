// One rollout as running text. Built once per text; a new signal, step or category set only swaps classes.
// Strings from the log are only ever given to textContent.

const UNITS = {
  kl: "nats", sampled_loss: "nats", student_entropy: "nats", teacher_entropy: "nats", grad_norm: "",
  student_p: "", teacher_p: "",
};
const MARKS = { " ": "␣", "\n": "⏎", "\t": "⇥" };
const panes = new WeakMap(); // mount point -> what is drawn there

export default function (component) {
  const { data, parentElement } = component;
  let pane = panes.get(parentElement);
  if (!pane || pane.key !== data.text.key || !pane.root.isConnected) {
    pane?.root.remove();
    pane = build(data);
    parentElement.appendChild(pane.root);
    panes.set(parentElement, pane);
  }
  pane.data = data;
  pane.root.classList.toggle("narrow", Boolean(data.view.narrow));
  colour(pane);
  if (pane.current !== null) describe(pane, pane.current);
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function visible(token) {
  return Array.from(token, (c) => MARKS[c] ?? (/[\p{C}\p{Z}]/u.test(c) ? "\\u" + c.codePointAt(0).toString(16).padStart(4, "0") : c)).join("");
}

function build(data) {
  const { text } = data;
  const root = element("div", "pane");
  const legend = element("div", "legend");
  const reading = element("div", "reading");
  const words = element("div", "words");
  const card = element("aside", "card");
  card.setAttribute("aria-live", "polite");
  card.append(element("p", "hint", "Point at a token, or press Tab and then the arrow keys."));
  if (text.prompt) words.append(element("div", "prompt", text.prompt));
  if (text.teacher_prompt) {
    words.firstChild.prepend(element("b", "reader", "The student reads: "));
    const other = element("div", "prompt", text.teacher_prompt);
    other.prepend(element("b", "reader", "The teacher reads: "));
    words.append(other);
  }
  const response = element("div", "response");
  response.setAttribute("role", "listbox");
  response.setAttribute("aria-label", `Response, ${text.tokens.length} tokens. Arrow keys move from token to token.`);
  const spans = text.tokens.map((token, i) => tokenSpan(token, i));
  if (spans.length) spans[0].tabIndex = 0;
  response.append(...spans);
  words.append(response);
  reading.append(words, card);
  root.append(legend, reading);
  const pane = { key: text.key, root, legend, response, card, spans, data, current: null, stop: 0 };
  listen(pane);
  return pane;
}

function tokenSpan(token, i) {
  const span = element("span", "t");
  span.dataset.i = i;
  span.tabIndex = -1;
  span.setAttribute("role", "option");
  // A line break gets a mark that is drawn by the style sheet, so that copied text stays the text.
  token.split(/(\n)/).forEach((part) => {
    if (part === "\n") {
      const mark = element("i", "newline");
      mark.setAttribute("aria-hidden", "true");
      span.append(mark, "\n");
    } else if (part) {
      span.append(/[\p{Cc}\p{Cf}]/u.test(part.replace("\t", "")) ? visible(part) : part);
    }
  });
  return span;
}

function listen(pane) {
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
    if (i === null) return;
    pane.spans[pane.stop].tabIndex = -1; // one stop for the Tab key, where the arrow keys left off
    pane.spans[i].tabIndex = 0;
    pane.stop = i;
    describe(pane, i);
  });
  pane.response.addEventListener("keydown", (event) => {
    const i = at(event);
    const target = i === null ? null : neighbour(pane.spans, i, event.key);
    if (target === null) return;
    event.preventDefault();
    pane.spans[target].focus();
  });
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
  let best = i, line = null, distance = Infinity;
  for (let j = i + step; j >= 0 && j <= last; j += step) {
    const box = spans[j].getClientRects()[0];
    if (!box || Math.abs(box.top - top) < 4) continue;
    if (line === null) line = box.top;
    if (Math.abs(box.top - line) >= 4) break;
    if (Math.abs(box.left - left) < distance) [best, distance] = [j, Math.abs(box.left - left)];
  }
  return best;
}

function bin(value, edges) {
  let b = 0;
  while (b < edges.length && value >= edges[b]) b++;
  return b;
}

function colour(pane) {
  const { text, view } = pane.data;
  const { edges, signed } = view.scale;
  const values = text[view.signal];
  const lit = new Set(view.lit);
  pane.root.classList.toggle("signed", signed);
  pane.spans.forEach((span, i) => {
    const value = values[i];
    const shade = value === null || !edges.length ? "none" : "b" + bin(value, edges);
    const on = lit.has(text.categories[i]);
    const mark = view.marks?.[i] ? ` m${view.marks[i]}` : "";
    const className = `t ${shade}${lit.size ? (on ? " lit" : " dim") : ""}${mark}`;
    if (span.className !== className) span.className = className;
  });
  drawLegend(pane);
}

function drawLegend(pane) {
  const { view } = pane.data;
  const { edges, quantiles, signed, tokens } = view.scale;
  const unit = UNITS[view.signal];
  pane.legend.replaceChildren(element("span", "name", unit ? `${view.signal}, ${unit}` : view.signal));
  if (edges.length) {
    const bar = element("span", "bar");
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", `Colour changes at ${edges.map(number).join(", ")} ${unit}`);
    for (let b = 0; b <= edges.length; b++) {
      const box = element("span", "box");
      box.append(element("span", `swatch b${b}`));
      if (b < edges.length) {
        const edge = element("span", "edge", number(edges[b]));
        edge.append(element("small", "", `${Math.round(quantiles[b] * 100)} %`));
        box.append(edge);
      }
      bar.append(box);
    }
    pane.legend.append(bar);
  }
  const of = signed ? "quantiles of |value|" : "quantiles";
  const scaleText = edges.length
    ? `One scale for the whole run: ${of} of its ${tokens.toLocaleString("en")} logged tokens.`
    : "This run has no logged values of this signal, so nothing is coloured.";
  pane.legend.append(element("span", "about", `${view.caption} ${scaleText}`));
}

function number(x) {
  if (x === null || x === undefined) return "not logged";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const digits = size >= 100 ? x.toFixed(0) : size >= 1 ? x.toFixed(2) : size >= 0.001 ? x.toFixed(4) : x.toExponential(1);
  return digits.replace("-", "−");
}

function describe(pane, i) {
  const { text, view, categories } = pane.data;
  const { card } = pane;
  if (pane.current !== null) pane.spans[pane.current].removeAttribute("aria-selected");
  pane.spans[i].setAttribute("aria-selected", "true");
  pane.current = i;
  card.replaceChildren(element("p", "token", visible(text.tokens[i])));
  card.append(element("p", "where", `id ${text.ids[i]} · position ${i} of ${text.tokens.length} · ${categories[text.categories[i]]}`));
  const values = element("dl", "values");
  for (const name of Object.keys(UNITS)) {
    const value = text[name][i];
    values.append(element("dt", name === view.signal ? "shown" : "", name));
    values.append(element("dd", name === view.signal ? "shown" : "", value === null ? "not logged" : `${number(value)} ${UNITS[name]}`));
  }
  card.append(values);
  if (text.alternatives) card.append(alternatives(text, i));
  else card.append(element("p", "hint", "Alternatives are logged for the probe sets only."));
}

function alternatives(text, i) {
  const both = element("div", "alternatives");
  for (const who of ["student", "teacher"]) {
    const { ids, p } = text.alternatives[who];
    const list = element("ol", who);
    list.setAttribute("aria-label", `Likeliest tokens of the ${who}`);
    list.append(element("li", "title", who));
    ids[i].forEach((id, k) => {
      const sampled = id === text.ids[i];
      const row = element("li", sampled ? "row sampled" : "row");
      const fill = element("span", "fill");
      fill.style.width = `${Math.max(p[i][k] * 100, 0.5)}%`;
      const label = visible(text.alternatives.texts[id] ?? `id ${id}`);
      const word = element("span", "word", sampled ? `▸ ${label}` : label);
      word.title = sampled ? `${label}: the token that stands here` : label;
      row.append(fill, word, element("span", "p", p[i][k].toFixed(3)));
      list.append(row);
    });
    if (!ids[i].includes(text.ids[i])) list.append(element("li", "outside", `▸ the token here is not among them: ${number(text[`${who}_p`][i])}`));
    both.append(list);
  }
  return both;
}

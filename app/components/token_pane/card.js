// The card of a token: its values with units, both models' alternatives, its kl over the training.
// Cards can be pinned. All stand in a place of their own beside the text, or over its foot where the
// page is narrow: none moves the text.

function buildCards(pane) {
  pane.card = element("aside", "card");
  pane.card.setAttribute("aria-label", "Values of the token pointed at");
  pane.pins = element("div", "pins");
  pane.pins.setAttribute("aria-label", "Pinned tokens");
  pane.side = element("div", "side");
  pane.side.append(pane.card, pane.pins);
}

function hintAt(pane) {
  const hint = "Point at a token, or press Tab and then the arrow keys. Press ? for all keys.";
  pane.card.replaceChildren(element("p", "hint", hint));
  pane.side.classList.toggle("idle", !pane.state.pins.length);
}

function putAway(pane) {
  const { token } = pane.state;
  if (token !== null) pane.spans[token]?.removeAttribute("aria-selected");
  pane.current = null;
  change(pane, { token: null });
  hintAt(pane);
}

function describe(pane, i) {
  pane.current = i;
  const actions = element("div", "actions");
  actions.append(
    button(
      "pin",
      pane.state.pins.includes(i) ? "Unpin" : "Pin",
      "Keep this card beside others (p)",
      () => pin(pane, i),
    ),
    button("link", "Copy link", "Copy a link to this token (l)", () => copyLink(pane, i)),
    button("away", "✕", "Put this card away", () => putAway(pane)),
  );
  pane.side.classList.remove("idle");
  pane.card.replaceChildren(actions, ...cardOf(pane, i));
}

function pin(pane, i) {
  const { pins } = pane.state;
  change(pane, { pins: pins.includes(i) ? pins.filter((j) => j !== i) : [...pins, i] });
  drawPins(pane);
  if (pane.current !== null) describe(pane, pane.current);
}

function drawPins(pane) {
  const { pins } = pane.state;
  if (pane.current === null) pane.side.classList.toggle("idle", !pins.length);
  pane.pins.replaceChildren(
    ...pins.map((i) => {
      const card = element("aside", "card pinned");
      card.append(
        button("unpin", "Unpin", "Put this card away", () => pin(pane, i)),
        ...cardOf(pane, i),
      );
      return card;
    }),
  );
}

function valueOf(pane, name, i) {
  // the digits of a card are sent as they are; of what is coloured, the value they stand for
  const shown = name === "kl" ? null : pane.values.signals[name];
  const value = (shown ?? valuesOf(pane, name))?.[i];
  return value === undefined || Number.isNaN(value) ? null : value;
}

function inWords(pane, i) {
  const { text, view } = pane,
    { scale } = view;
  const value = scale.kind === "class" ? className(pane, i) : number(valueOf(pane, scale.name, i));
  const marks = [pane.now.above[i] ? "above the threshold" : "", markWord(pane, i)]
    .filter(Boolean)
    .join(", ");
  return `${visible(shortened(text.tokens[i]))}, ${spoken(pane, scale.name)} ${value} ${unitOf(scale)}, position ${i}, ${view.categories[text.categories[i]]}${marks ? `, ${marks}` : ""}`;
}

function className(pane, i) {
  return (pane.classes && pane.view.verdict.names[pane.classes[i]]) || "no class";
}

function markWord(pane, i) {
  return (pane.marks && LINES[`m${pane.marks[i]}`]?.means) ?? "";
}

function cardOf(pane, i) {
  const { text, view } = pane;
  const kind = [
    view.categories[text.categories[i]],
    pane.classes ? `class: ${className(pane, i)}` : "",
    markWord(pane, i),
  ];
  const bare = !text.series && !Object.keys(pane.values.signals).length;
  return [
    element("p", "token", visible(shortened(text.tokens[i]))),
    ...explainSigns(visible(shortened(text.tokens[i]))),
    element(
      "p",
      "where",
      `id ${text.ids[i]} · position ${i} of ${text.tokens.length} · ${kind.filter(Boolean).join(" · ")}`,
    ),
    ...offerType(pane, i),
    ...knockedOut(pane, i),
    ...(bare ? [] : [listValues(pane, i), drawCurve(pane, i), listAlternatives(pane, i)]),
  ];
}

const SIGNS = { "␣": "a space", "⏎": "a line break", "⇥": "a tab" };

function explainSigns(shown) {
  const said = Object.entries(SIGNS).filter(([sign]) => shown.includes(sign));
  if (!said.length) return [];
  return [element("p", "hint", said.map(([sign, what]) => `${sign} is ${what}`).join(", "))];
}

// A link to the page of the token's type: a real one, for a tab of its own; a plain click asks
// Python, which need not start anew.
function offerType(pane, i) {
  if (!pane.ask) return [];
  const id = pane.text.ids[i],
    url = new URL("token", location.href);
  for (const name of ["run", "rule", "source"]) {
    const value = new URLSearchParams(location.search).get(name);
    if (value) url.searchParams.set(name, value);
  }
  url.searchParams.set("token", id);
  const link = element("a", "type", "All about this type");
  link.href = url.href;
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    pane.ask({ what: "type", token: id });
  });
  const line = element("p", "more");
  line.append(link);
  return [line];
}

// What became of the answers without this token, where the page says it of any.
function knockedOut({ view, text }, i) {
  const { of, others } = view.knockouts ?? {};
  const words = of?.[text.ids[i]] ?? others?.replace("{id}", text.ids[i]);
  return words ? [element("p", "knockout", `knockout: ${words}`)] : [];
}

function listValues(pane, i) {
  const { view } = pane;
  const values = element("dl", "values");
  const names =
    CARD_SIGNALS.includes(view.scale.name) ||
    view.scale.kind === "class" ||
    view.scale.kind === "flag"
      ? CARD_SIGNALS
      : [view.scale.name, ...CARD_SIGNALS];
  for (const name of names) {
    const value = valueOf(pane, name, i),
      shown = name === view.scale.name ? "shown" : "";
    if (
      value === null &&
      name !== view.scale.name &&
      (ESTIMATED.includes(name) || name === "weight" || name === "persistence")
    )
      continue;
    values.append(
      element("dt", shown, spoken(pane, name)),
      element("dd", shown, value === null ? "not logged" : valueOnCard(pane, name, value)),
    );
  }
  return values;
}

function valueOnCard({ text, view }, name, value) {
  if (name === "persistence") {
    const steps = text.series?.steps.length ?? 0; // a share of few steps is a count
    return `${Math.round(value * steps)} of ${steps} logged steps ≥ ${tauName({ view })}`;
  }
  const unit = UNITS[name] ?? (name === view.scale.name ? view.scale.unit : "");
  return `${number(value)} ${ESTIMATED.includes(name) ? `${unit}, top-8 + tail` : unit}`;
}

function drawCurve(pane, i) {
  const { series, tokens } = pane.text;
  if (!series || series.steps.length < 2)
    return element(
      "p",
      "hint",
      series
        ? "KL is logged at one step only: there is no curve."
        : "A fresh rollout exists at one step only: there is no curve.",
    );
  const kl = series.steps.map((_, s) => series.kl[s * tokens.length + i]);
  const tau = tauOf(pane),
    most = Math.max(...kl.filter((x) => x === x), tau ?? 0) || 1;
  const x = (s) => 4 + (192 * s) / (series.steps.length - 1),
    y = (v) => 38 - (34 * Math.max(0, v)) / most;
  const svg = shape("svg", { viewBox: "0 0 200 42", role: "img", class: "spark" });
  svg.setAttribute(
    "aria-label",
    `KL over the steps: ${series.steps.map((s, k) => `${s}: ${number(kl[k])}`).join(", ")}`,
  );
  if (tau !== null) svg.append(shape("path", { class: "tau", d: `M4,${y(tau)}H196` }));
  let line = "",
    pen = "M";
  kl.forEach((v, s) => {
    if (v === v) line += `${pen}${x(s).toFixed(1)},${y(v).toFixed(1)}`;
    pen = v === v ? "L" : "M";
  });
  svg.append(shape("path", { class: "curve", d: line }));
  const at = series.steps.indexOf(pane.state.step);
  if (at >= 0 && kl[at] === kl[at])
    svg.append(shape("circle", { class: "here", cx: x(at), cy: y(kl[at]), r: 4 }));
  const figure = element("figure", "over");
  figure.append(
    svg,
    element(
      "figcaption",
      "",
      `KL over steps ${series.steps[0]}–${series.steps.at(-1)}, at most ${number(most)} nats; ● step ${pane.state.step}${tau === null ? "" : `, ┄ ${tauName(pane)} ${number(tau)}`}`,
    ),
  );
  return figure;
}

function listAlternatives(pane, i) {
  const { text, values } = pane;
  if (!text.teacher || !values.student)
    return element("p", "hint", values.missing.reverse_kl ?? "No alternatives are logged here.");
  const both = element("div", "alternatives");
  for (const [who, side] of [
    ["student", values.student],
    ["teacher", text.teacher],
  ]) {
    const list = element("ol", who);
    list.setAttribute("aria-label", `Likeliest tokens of the ${who}`);
    list.append(
      element(
        "li",
        "title",
        who === "student" && values.step !== pane.state.step ? `student, step ${values.step}` : who,
      ),
    );
    let there = false;
    for (let k = side.starts[i]; k < side.starts[i + 1]; k++) {
      const sampled = side.at[k] === 0,
        word = sampled ? text.tokens[i] : side.words[side.at[k] - 1];
      there ||= sampled;
      list.append(alternativeRow(visible(word), side.p[k] / 1000, sampled));
    }
    if (!there)
      list.append(
        element(
          "li",
          "outside",
          `▸ the token here is not among them: ${number(valueOf(pane, `${who}_p`, i))}`,
        ),
      );
    const more = side.k - (side.starts[i + 1] - side.starts[i]);
    if (more) list.append(element("li", "outside", `${more} more below ${side.least}`));
    both.append(list);
  }
  return both;
}

function alternativeRow(label, p, sampled) {
  const row = element("li", sampled ? "row sampled" : "row");
  const fill = element("span", "fill");
  fill.style.width = `${Math.max(p * 100, 0.5)}%`;
  const word = element("span", "word", sampled ? `▸ ${label}` : label);
  word.title = sampled ? `${label}: the token that stands here` : label;
  row.append(fill, word, element("span", "p", p.toFixed(3)));
  return row;
}

function copyLink(pane, i) {
  const url = new URL(location.href);
  // newer, perhaps, than what the address bar says
  const { step, light, classes, only, span, types, rest, cut, pins, find, hit } = pane.state;
  const parameters = {
    step,
    token_at: i,
    light: light.join(),
    light_class: classes.join(),
    only: only.join(),
    span: span.join("-"),
    types: types.join(),
    rest: rest === "dim" ? "" : rest,
    cut,
    pins: pins.length ? `${pane.view.text_name}:${pins.join()}` : "",
    find,
    hit: hit || "",
  };
  for (const [name, value] of Object.entries(parameters)) {
    if (value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  pane.link = url.href;
  const done = () => announce(pane, `Link to token ${i} copied.`);
  if (navigator.clipboard)
    navigator.clipboard.writeText(url.href).then(done, () => announce(pane, url.href));
  else announce(pane, url.href);
}

// The toggles: each tells how many tokens it holds. What passes all of them is chosen; the rest is
// dimmed or hidden, or the chosen are underlined. They lie in a fold; that some are on is seen
// outside of it.

const RESTS = { dim: "dim the rest", hide: "hide the rest", underline: "underline these" };
const ONLY = { above: "≥ threshold", top1: "top-1 disagree", kept: "high and recurring" };

function buildFilters(pane) {
  const root = element("div", "filters");
  const rest = element("select", "rest");
  rest.setAttribute("aria-label", "What to do with tokens that the toggles leave out");
  for (const [value, label] of Object.entries(RESTS)) {
    const option = element("option", "", label);
    option.value = value;
    rest.append(option);
  }
  rest.addEventListener("change", () => {
    change(pane, { rest: rest.value });
    paint(pane);
  });
  const result = element("span", "result");
  result.setAttribute("role", "status");
  const clear = button("clear", "Clear", "Lift all toggles", () => {
    change(pane, { light: [], classes: [], only: [], span: [], types: [] });
    paint(pane);
  });
  const groups = element("div", "groups");
  groups.id = "filters";
  groups.hidden = true;
  const foot = element("div", "foot");
  foot.append(result, rest, clear);
  root.append(groups, foot);
  pane.filters = { root, groups, rest, result, clear, buttons: [], of: null };
  return root;
}

function foldFilters(pane) {
  pane.filters.groups.hidden = !pane.filters.groups.hidden;
  drawFilters(pane);
}

function seatFilters(pane) {
  const { filters, view, text } = pane;
  const { span, types } = pane.state;
  const of = [
    text,
    pane.classes,
    view.categories.join(),
    view.verdict.names.join(),
    view.verdict.why,
    span.join(),
    types.join(),
  ];
  if (filters.of?.every((part, i) => part === of[i])) return;
  Object.assign(filters, {
    of,
    inCategory: tally(text.categories),
    inClass: tally(pane.classes ?? []),
  });
  const categories = view.categories.filter((_, index) => filters.inCategory[index]);
  const classes = view.verdict.names.filter((_, index) => filters.inClass[index]);
  filters.buttons = [];
  filters.groups.replaceChildren(
    group(pane, "Only", "only", Object.keys(ONLY)),
    ...(span.length || types.length ? [selected(pane)] : []),
    group(pane, "Category", "light", categories),
    ...(classes.length ? [group(pane, "Class", "classes", classes)] : []),
  );
}

function group(pane, title, field, values) {
  const node = element("div", "group");
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", title);
  node.append(element("span", "title", title));
  for (const value of values) {
    const toggle = button("toggle", "", "", () => {
      const on = pane.state[field];
      change(pane, {
        [field]: on.includes(value) ? on.filter((v) => v !== value) : [...on, value],
      });
      paint(pane);
    });
    toggle.dataset.name = value;
    pane.filters.buttons.push({ toggle, field, value });
    node.append(toggle);
  }
  return node;
}

function selected(pane) {
  // What was selected over the heatmaps of the page Steps. It can only be lifted here, so it is a
  // list of what to lift.
  const { state, text } = pane,
    { span, types } = state;
  const node = element("div", "group selected");
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", "Selected in Steps");
  node.append(element("span", "title", "Selected in Steps"));
  const lift = (field, what, n) => {
    const toggle = button(
      "toggle",
      `${what} ${whole(n)} ×`,
      `${whole(n)} of ${whole(text.tokens.length)} tokens. Press to lift this selection.`,
      () => {
        change(pane, { [field]: [] });
        paint(pane);
      },
    );
    toggle.setAttribute("aria-pressed", "true");
    toggle.dataset.name = field;
    node.append(toggle);
  };
  if (span.length) lift("span", `positions ${span[0]}–${span[1]}`, span[1] - span[0] + 1);
  if (types.length)
    lift(
      "types",
      types.length === 1 ? "one token type" : `${whole(types.length)} token types`,
      sumOf(text.tokens.length, ofTypes(pane)),
    );
  return node;
}

function drawFilters(pane) {
  const { filters, state, view, now, text } = pane;
  seatFilters(pane);
  const holds = toggles(pane);
  const n = text.tokens.length;
  const { inCategory, inClass } = filters;
  for (const { toggle, field, value } of filters.buttons) {
    const count =
      field === "only"
        ? holds[value]
          ? sumOf(n, holds[value])
          : null
        : field === "light"
          ? inCategory[view.categories.indexOf(value)]
          : inClass[view.verdict.names.indexOf(value)];
    write(
      toggle,
      `${field === "only" ? ONLY[value] : value} ${count === null ? "–" : whole(count ?? 0)}`,
    );
    toggle.setAttribute("aria-pressed", state[field].includes(value));
    toggle.disabled = count === null;
    toggle.title =
      count === null ? whyNoToggle(pane, value) : `${whole(count ?? 0)} of ${whole(n)} tokens`;
  }
  filters.rest.value = state.rest;
  const passed = now.chosen ? now.chosen.reduce((a, b) => a + b, 0) : n;
  filters.root.classList.toggle("idle", !now.chosen);
  const strict = now.chosen && !passed ? " No token passes all of them: lift one." : "";
  write(filters.result, now.chosen ? `${whole(passed)} of ${whole(n)} tokens pass.${strict}` : "");
  filters.rest.hidden = filters.clear.hidden = !now.chosen;
  const on = filters.buttons.filter(({ field, value }) => state[field].includes(value)).length;
  const all = on + (state.span.length ? 1 : 0) + (state.types.length ? 1 : 0);
  write(pane.bar.fold, `${filters.groups.hidden ? "▸" : "▾"} Filters${all ? `: ${all}` : ""}`);
  pane.bar.fold.setAttribute("aria-expanded", String(!filters.groups.hidden));
}

function tally(indices) {
  const counts = [];
  for (const index of indices) counts[index] = (counts[index] ?? 0) + 1;
  return counts;
}

function sumOf(n, holds) {
  let found = 0;
  for (let i = 0; i < n; i++) if (holds(i)) found++;
  return found;
}

function whyNoToggle(pane, name) {
  if (name === "top1")
    return pane.values.missing.top1_disagreement ?? "No alternatives are logged here.";
  if (name === "kept") return pane.view.verdict.why || "The rule judged no occurrence of this text.";
  return whyMissing(pane, pane.view.scale.name) || "This signal has no threshold.";
}

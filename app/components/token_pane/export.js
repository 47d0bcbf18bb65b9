// This view as a file: HTML that asks for nothing and runs nothing, SVG around it, PNG painted from
// that. The serializer escapes every token.

const MOST_PIXELS = 16_384; // a canvas of more in one direction stays empty in some browsers

const LAYOUT = `
  body { font: 16px/1.75 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  .response, .prompt { white-space: pre-wrap; overflow-wrap: anywhere; } .prompt { opacity: .7; }
  .t { unicode-bidi: isolate; } .newline::before { content: "⏎"; opacity: .55; font-style: normal; } .head { font-size: .9rem; }
  .key span { padding: 0 .5rem; display: inline-block; }
  .lines { font-size: .9rem; list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0 1.5rem; }`;

function standalone(pane) {
  const page = document.implementation.createHTMLDocument(pane.view.caption);
  fillHead(page, pane.view);
  const add = (parent, tag, className, words) => {
    const node = page.createElement(tag);
    node.className = className;
    node.textContent = words;
    parent.append(node);
    return node;
  };
  add(
    page.body,
    "p",
    "head",
    `${`${pane.legend.about.textContent} ${pane.legend.rest.textContent}`.trim()} Step shown: ${pane.state.step}. ${countLine(pane)}`,
  );
  const { scale, verdict } = pane.view,
    key = add(page.body, "p", "head key", `${spoken(pane, scale.name)} ${scale.unit}: `);
  const parts =
    scale.kind === "class" ? verdict.names : ["below", ...scale.edges.map((e) => `≥ ${number(e)}`)];
  parts.forEach((label, b) => add(key, "span", `f${b}`, label));
  const lines = linesInUse(pane).filter(({ layer }) => layer !== "found");
  if (lines.length)
    add(page.body, "ul", "lines", "").append(...lines.map((line) => explainLine(line, page)));
  if (pane.text.prompt) add(page.body, "div", "prompt", printable(pane.text.prompt));
  add(page.body, "div", "response", "").append(
    ...pane.spans.map((_, i) => copyToken(pane, i, page)),
  );
  return page;
}

function fillHead(page, view) {
  const policy = page.createElement("meta"),
    coding = page.createElement("meta"),
    style = page.createElement("style");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "default-src 'none'; style-src 'unsafe-inline'";
  coding.setAttribute("charset", "utf-8");
  const { page: ground, text } = view.colours;
  const rules = Object.entries(styleLayers(view)).map(([layer, look]) => `.${layer} { ${look} }`);
  style.textContent = `:root { color-scheme: light dark; background: ${ground}; color: ${text}; }${LAYOUT}\n${rules.join("\n")}`;
  page.head.prepend(coding, policy);
  page.head.append(style);
}

function copyToken(pane, i, page) {
  const { text, view, now, layers } = pane,
    { scale } = view;
  const copy = page.importNode(pane.spans[i], true);
  for (const name of [...copy.getAttributeNames()]) copy.removeAttribute(name);
  copy.className = ["t", layers.fill[i]].join(" ").trim();
  underline(
    copy,
    layers.lines(i).filter((layer) => layer !== "found"),
  );
  const value = scale.kind === "class" ? className(pane, i) : number(now.values?.[i]);
  copy.title = `${visible(shortened(text.tokens[i]))} · id ${text.ids[i]} · position ${i} · ${spoken(pane, scale.name)} ${value}`;
  return copy;
}

function asHtml(pane) {
  return printable(`<!doctype html>\n${standalone(pane).documentElement.outerHTML}`);
}

function asSvg(pane) {
  const page = standalone(pane),
    body = page.createElement("div");
  const width = Math.max(400, Math.ceil(pane.response.getBoundingClientRect().width)) + 48;
  const { page: ground, text } = pane.view.colours;
  body.setAttribute(
    "style",
    `color-scheme: ${isDark(pane.probe) ? "dark" : "light"}; background: ${ground}; color: ${text}; font: 16px/1.75 system-ui, sans-serif; padding: 24px; min-height: 100%; box-sizing: border-box`,
  );
  body.append(page.head.querySelector("style"), ...page.body.childNodes);
  const height = heightOf(body, width);
  const svg = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  const foreign = shape("foreignObject", { width, height });
  foreign.append(body);
  svg.append(foreign);
  // a name, too, may hold what XML cannot; no mark-up consists of it
  return printable(new XMLSerializer().serializeToString(svg));
}

function heightOf(body, width) {
  const host = element("div");
  host.style.cssText = `all: initial; position: fixed; visibility: hidden; width: ${width}px`;
  host.attachShadow({ mode: "open" }).append(body);
  document.body.append(host);
  const { height } = body.getBoundingClientRect();
  host.remove();
  return Math.ceil(height) + 24; // a picture may break a line elsewhere
}

async function asPng(pane) {
  const image = new Image();
  // from a blob, the canvas could not be read again
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(asSvg(pane))}`;
  await image.decode();
  const tallest = Math.max(image.width, image.height),
    scale = [2, 1].find((by) => by * tallest <= MOST_PIXELS);
  if (!scale)
    throw new RangeError(
      `This text is ${whole(tallest)} pixels tall, a PNG may have ${whole(MOST_PIXELS)}: save it as SVG or HTML.`,
    );
  const canvas = element("canvas");
  Object.assign(canvas, { width: scale * image.width, height: scale * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) =>
    canvas.toBlob(
      (blob) =>
        blob
          ? done(blob)
          : fail(new RangeError("The browser made no PNG of it: save it as SVG or HTML.")),
      "image/png",
    ),
  );
}

const FORMATS = {
  html: (pane) => new Blob([asHtml(pane)], { type: "text/html;charset=utf-8" }),
  svg: (pane) => new Blob([asSvg(pane)], { type: "image/svg+xml;charset=utf-8" }),
  png: asPng,
};

async function saveView(pane, kind) {
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await FORMATS[kind](pane));
    link.download = `${pane.view.file}-step${pane.state.step}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } catch (error) {
    announce(
      pane,
      error instanceof RangeError
        ? error.message
        : `The browser could not paint this view (${error.name}): save it as SVG or HTML.`,
    );
  }
}

// The address bar always says what is shown, so its link is the page's.

const SAID_MS = 2_500;
let stopKeys = () => {}; // of the button drawn before, which a rerun may have replaced

function buildTools() {
  const root = element("div", "tools");
  const link = element("input", "address");
  Object.assign(link, { readOnly: true, hidden: true });
  link.setAttribute("aria-label", "Link to this page: copy it with Ctrl+C");
  link.addEventListener("blur", () => (link.hidden = true));
  const said = element("span", "said");
  said.setAttribute("role", "status");
  const copy = button("copy", "", "Copy a link to this page as it is now (Alt+L)", () =>
    copyPage(link, said),
  );
  const icon = element("span", "icon", "link");
  icon.setAttribute("aria-hidden", "true");
  copy.append(icon, element("span", "name", "Copy link"));
  root.append(copy, said, link);
  return { root, copy };
}

async function copyPage(link, said) {
  try {
    await navigator.clipboard.writeText(location.href);
    write(said, "Copied");
    setTimeout(() => write(said, ""), SAID_MS);
  } catch {
    // no clipboard, or none allowed
    link.value = location.href;
    link.hidden = false;
    link.focus();
    link.select();
  }
}

export default function (component) {
  const [tools] = mounted(component, buildTools);
  stopKeys();
  const onKey = (event) => {
    if (event.code !== "KeyL" || !event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    tools.copy.click();
  };
  document.addEventListener("keydown", onKey);
  stopKeys = () => document.removeEventListener("keydown", onKey);
  return stopKeys;
}

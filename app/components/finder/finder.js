// The search box of the dialog that this stands in, and the links below it: keys alone find, and
// open what was found.

const LINKS = "a[data-testid=stPageLink-NavLink]";

function follow(finder) {
  if (!finder.wanted || finder.box.value !== finder.sought) return;
  finder.wanted = false;
  finder.dialog.querySelector(LINKS)?.click();
}

function walk(finder, event) {
  const down = event.key === "ArrowDown";
  if (!down && event.key !== "ArrowUp") return;
  const places = [finder.box, ...finder.dialog.querySelectorAll(LINKS)];
  const at = places.indexOf(event.target.closest(LINKS) ?? finder.box);
  places[Math.min(Math.max(at + (down ? 1 : -1), 0), places.length - 1)].focus();
  event.preventDefault();
}

function press(finder, event) {
  if (event.key === "Enter" && event.target === finder.box) {
    finder.wanted = true;
    follow(finder);
  } else if (event.key !== "Enter") {
    finder.wanted = false;
    walk(finder, event);
  }
}

function take(dialog, box, sought) {
  let finder = box.rockFinder;
  if (!finder) {
    finder = box.rockFinder = { box, dialog, wanted: false };
    dialog.addEventListener("keydown", (event) => press(finder, event));
    box.focus();
    box.select(); // what was sought last: the next letter replaces it
  }
  finder.sought = sought;
  follow(finder);
}

export default function ({ parentElement, data }) {
  let next;
  const look = () => {
    const root = parentElement.getRootNode(); // a shadow's, which has a host on the page
    const dialog = (root.host ?? parentElement).closest("[role=dialog]");
    const box = dialog?.querySelector("input");
    if (box) take(dialog, box, data.sought);
    else next = requestAnimationFrame(look); // Streamlit may draw the box later than this
  };
  look();
  return () => cancelAnimationFrame(next);
}

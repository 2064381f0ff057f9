// Keys: / searches, g and a letter leads to a page, ? shows them, Esc closes. On a page with keys of its own j and k
// move through its rows, and a letter presses what is marked with it, in that row or on the page. None while somebody types, and none at
// all where the page has no list of them: they are switched off in one's settings.
const keyList = document.querySelector("#keys");
const LETTER_MS = 1500;
let wentAt = -LETTER_MS;
const typing = (target) =>
  target.isContentEditable || target.matches?.("textarea, select, input:not([type=checkbox], [type=radio], [type=button], [type=submit])");
addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details:is(.menu, .picker)[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    if (event.target.matches?.("[data-search]")) event.target.blur();
    return;
  }
  if (!keyList || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
  const awaited = event.timeStamp - wentAt < LETTER_MS;
  wentAt = -LETTER_MS;
  if (awaited) {
    const link = keyList.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
  } else if (event.key === "g") {
    wentAt = event.timeStamp;
  } else if (event.key === "?") {
    event.preventDefault();
    if (!keyList.open) keyList.showModal();
  } else if (event.key === "/" && !keyList.open) {
    const search = document.querySelector("[data-search]") ?? document.querySelector("main input[type=search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  } else if (!keyList.open) {
    pressOwn(event);
  }
});
function pressOwn(event) {
  const rows = [...document.querySelectorAll("[data-key-row]")];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  if (rows.length && (event.key === "j" || event.key === "k")) {
    event.preventDefault();
    rows[Math.min(Math.max(event.key === "j" ? at + 1 : at - 1, 0), rows.length - 1)].querySelector("a").focus();
    return;
  }
  if (rows.length && at < 0) return;
  reach((rows[at] ?? document).querySelector(`[data-key="${CSS.escape(event.key)}"]`), event);
}
function reach(marked, event) {
  if (!marked) return;
  event?.preventDefault();
  const field = marked.querySelector("textarea, input");
  if (field) field.focus();
  else marked.click();
}
reach(document.querySelector("[data-key-now]"));

// Keys: / searches, g and a letter leads to a page, ? shows them, Esc closes. None while somebody types, and none at
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
  }
});

// What the pages do beyond plain HTML: nothing that they need.
const csrf = () => document.querySelector("meta[name=csrf]").content;
addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const all = event.target.closest("[data-choose-all]");
  if (all) {
    for (const box of all.closest("form").querySelectorAll("input[name=ids]")) box.checked = all.checked;
  }
});
addEventListener("submit", (event) => {
  const toggle = event.submitter?.name === "rail" ? event.submitter : null;
  if (!toggle) return;
  event.preventDefault();
  const narrow = toggle.value === "narrow";
  if (narrow) document.documentElement.dataset.rail = "narrow";
  else delete document.documentElement.dataset.rail;
  toggle.value = narrow ? "wide" : "narrow";
  toggle.setAttribute("aria-pressed", String(narrow));
  fetch("/rail", { method: "POST", body: new URLSearchParams({ rail: narrow ? "narrow" : "wide", next: "/me", _csrf: csrf() }), redirect: "manual" });
});
addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["x-csrf-token"] = csrf();
});
addEventListener("htmx:responseError", (event) => {
  // A role that was lost meanwhile: the page says so instead of showing figures that stand still.
  if (event.detail.xhr.status === 403) location.reload();
});
addEventListener("click", (event) => {
  // A phrase goes where the cursor stands; without script its button sends the form and puts it at the end.
  const phrase = event.target.closest("[data-insert]");
  if (!phrase) return;
  event.preventDefault();
  const field = phrase.form.elements.text;
  field.setRangeText(phrase.dataset.insert, field.selectionStart, field.selectionEnd, "end");
  phrase.closest("details").open = false;
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true }));
});
let unsent = false;
addEventListener("input", (event) => { unsent ||= Boolean(event.target.closest?.("form[data-warn]")); });
addEventListener("submit", (event) => { unsent &&= event.defaultPrevented; });
addEventListener("beforeunload", (event) => { if (unsent) event.preventDefault(); });
// Without script the picker of contacts stands open in the form; with it, it is a window.
for (const dialog of document.querySelectorAll("dialog[open]")) {
  dialog.open = false;
  if ("keep" in dialog.dataset) dialog.showModal();
}
addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open-dialog]");
  if (opener) document.getElementById(opener.dataset.openDialog).showModal();
  if (event.target.closest("[data-close-dialog]")) event.target.closest("dialog").close();
});
function countPicked() {
  const count = document.querySelector("[data-picked]");
  if (!count) return;
  const ticked = document.querySelectorAll("#pick input[name=contacts]:checked").length;
  const text = (Number(count.dataset.picked) + ticked).toLocaleString("en");
  for (const one of document.querySelectorAll("[data-picked], [data-picked-copy]")) one.textContent = text;
}
addEventListener("change", (event) => { if (event.target.name === "contacts") countPicked(); });
addEventListener("htmx:afterSwap", countPicked);
addEventListener("keydown", (event) => {
  // Enter in the picker's search searches; it does not send the whole form.
  if (event.key !== "Enter" || event.target.id !== "contact_search") return;
  event.preventDefault();
  document.querySelector("#pick button[value=find]").click();
});

// When the sign-in is over while a page is open: ask in a dialog, renew the page's tokens, repeat what failed. Without
// script the form comes back after sign-in (`/me/resume`). What cannot be loaded says so in its place, with a button.
let asking = null;
const late = [];
const repeat = ({ elt, target, requestConfig }) =>
  htmx.ajax(requestConfig.verb.toUpperCase(), requestConfig.path, { source: elt, target, values: requestConfig.unfilteredParameters });
function showStep(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const token = page.querySelector("meta[name=csrf]").content;
  const main = page.querySelector(".alone main");
  if (!main) {
    if (!asking.open) return location.reload(); // signed in still: something else has changed
    document.querySelector("meta[name=csrf]").content = token;
    for (const field of document.querySelectorAll("input[name=_csrf]")) field.value = token;
    asking.remove();
    asking = null;
    dispatchEvent(new CustomEvent("signed-in"));
    for (const detail of late.splice(0)) if (detail.elt.isConnected) repeat(detail);
    return;
  }
  for (const named of main.querySelectorAll("[id], [for], [aria-describedby]")) {
    // The page underneath may have a field of the same name.
    for (const name of ["id", "for", "aria-describedby"]) if (named.hasAttribute(name)) named.setAttribute(name, `again-${named.getAttribute(name)}`);
  }
  asking.replaceChildren(...main.children);
  asking.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(event.target));
    showStep(await (await fetch(event.target.action, { method: "POST", body })).text());
  });
  if (!asking.open) asking.querySelector("form").prepend(document.querySelector("#over-notice").content.cloneNode(true));
  if (!asking.open) asking.showModal();
  asking.querySelector("[autofocus]")?.focus();
}
async function signInAgain() {
  if (asking) return;
  asking = document.createElement("dialog");
  asking.className = "again";
  document.body.append(asking);
  showStep(await (await fetch("/login")).text());
}
addEventListener("sign-in-over", signInAgain);
addEventListener("htmx:beforeSwap", (event) => {
  if (new URL(event.detail.xhr.responseURL || location.href).pathname !== "/login") return;
  event.detail.shouldSwap = false;
  if (late.length < 20 && !late.some(({ elt }) => elt === event.detail.elt)) late.push(event.detail);
  signInAgain();
});
const noticeOf = (target) => (target?.previousElementSibling?.matches(".retry") ? target.previousElementSibling : null);
function failed(event) {
  const { elt, target = elt, xhr } = event.detail;
  if (event.type === "htmx:responseError" && xhr.status < 500) return;
  const pattern = document.querySelector("#retry-notice");
  if (!pattern || !target?.isConnected || noticeOf(target)) return;
  const notice = pattern.content.firstElementChild.cloneNode(true);
  notice.querySelector("button").addEventListener("click", () => repeat(event.detail));
  target.before(notice);
}
for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) addEventListener(name, failed);
addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.xhr.status < 400) noticeOf(event.detail.target)?.remove();
});

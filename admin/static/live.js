// Figures that move: one stream a page, or every five seconds where a stream cannot be had.
(() => {
  const topics = document.body.dataset.topics.split(" ");
  const POLL_MS = 5000, AGAIN_MS = 60000;
  let source, polling, since = 0;
  const address = (path) => path + "?" + new URLSearchParams([...topics.map((one) => ["topic", one]), ["since", since]]);
  const all = (attribute, name) => document.querySelectorAll(`[${attribute}="${CSS.escape(name)}"]`);

  function show(figures) {
    for (const [name, value] of Object.entries(figures)) {
      if (name === "ticks") { tick(value); continue; }
      if (name.startsWith("shape.")) { reshape(name.slice(6), value); continue; }
      for (const element of all("data-live", name)) {
        const [text, tone] = Array.isArray(value) ? value : [value];
        if (element.textContent !== String(text)) element.textContent = text;
        if (tone) element.className = `badge ${tone}`;
      }
      for (const element of all("data-live-value", name)) element.value = value;
      for (const element of all("data-live-shown", name)) element.hidden = value === "0";
      for (const bar of all("data-live-bar", name)) {
        let x = 0;
        for (const [key, width] of value) {
          const piece = bar.querySelector(`.s-${CSS.escape(key)}`);
          piece?.setAttribute("x", x);
          piece?.setAttribute("width", width);
          x += width;
        }
      }
      if (all("data-chart", name).length) dispatchEvent(new CustomEvent("series", { detail: { name, rows: value } }));
    }
  }
  function reshape(id, value) {
    // Other rows stand there now: the part comes anew, as the server draws it.
    const part = document.getElementById(id);
    if (!part || part.dataset.shape === value) return;
    part.dataset.shape = value;
    htmx.ajax("GET", part.dataset.refresh, { target: part });
  }
  function tick(rows) {
    if (!rows.length) return;
    since = rows.at(-1)[0];
    dispatchEvent(new CustomEvent("ticks", { detail: rows }));
  }

  function stop() {
    source?.close();
    clearInterval(polling);
    source = polling = undefined;
  }
  function over() {
    stop();
    dispatchEvent(new CustomEvent("sign-in-over"));
  }
  async function ask() {
    const answer = await fetch(address("/figures"), { redirect: "manual" }).catch(() => null);
    if (!answer) return; // the network is away for a moment
    if (answer.ok) show(await answer.json());
    else if (answer.type === "opaqueredirect" || answer.status === 403) over();
  }
  function poll() {
    stop();
    document.body.dataset.live = "polled";
    ask();
    polling = setInterval(ask, POLL_MS);
    setTimeout(() => { if (polling && !document.hidden) start(); }, AGAIN_MS);
  }
  function start() {
    stop();
    source = new EventSource(address("/stream"));
    source.onopen = () => { document.body.dataset.live = "streamed"; };
    source.addEventListener("figures", (event) => show(JSON.parse(event.data)));
    source.addEventListener("ticks", (event) => tick(JSON.parse(event.data)));
    source.addEventListener("end", over);
    source.onerror = () => { if (source?.readyState === EventSource.CLOSED) poll(); };
  }
  addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  addEventListener("signed-in", () => { if (!document.hidden) start(); });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => { if (event.persisted) start(); });
  if (!document.hidden) start();
})();

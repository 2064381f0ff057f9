// Charts over time: uPlot in the colours of the page. Each has a table of the same figures behind it.
(() => {
  const WINDOW_S = 900, LEAST_S = 60, HEIGHT = 220;
  const resolved = (name) => {
    // light-dark() is settled by the browser only where it is used.
    const probe = document.createElement("span");
    probe.className = `probe probe-${name}`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const charts = [];

  class Chart {
    constructor(element) {
      this.element = element;
      this.name = element.dataset.chart;
      this.names = JSON.parse(element.dataset.names);
      this.rows = this.name === "ticks" ? [] : JSON.parse(element.dataset.series);
      element.textContent = "";
      new ResizeObserver(() => this.plot?.setSize(this.size())).observe(element);
      this.draw();
    }
    size() { return { width: this.element.clientWidth, height: this.element.classList.contains("tall") ? HEIGHT + 40 : HEIGHT }; }
    data() {
      const columns = [this.rows.map((row) => row[0])];
      this.names.forEach((name, n) => { if (name) columns.push(this.rows.map((row) => row[n + 1])); });
      return columns;
    }
    // A minute at the least: for a single moment uPlot would show the days after it.
    span(low, high) {
      if (this.name === "ticks") return [this.end() - WINDOW_S, this.end()];
      const from = this.rows.at(0)?.[0] ?? low, to = this.rows.at(-1)?.[0] ?? high;
      return to - from < LEAST_S ? [from - 5, from + LEAST_S] : [from, to];
    }
    end() { return this.rows.at(-1)?.[0] ?? Math.floor(Date.now() / 1000); }
    draw() {
      this.plot?.destroy();
      const ink = resolved("ink-2"), line = resolved("line");
      const strokes = ["accent", "good", "warn"], dashes = [[], [6, 3], [2, 3]];
      const zone = document.body.dataset.zone;
      const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
      const shown = this.names.map((name, n) => [name, n]).filter(([name]) => name);
      const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: zone });
      this.plot = new uPlot({
        ...this.size(),
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone),
        cursor: { y: false, points: { size: 6 } },
        legend: { live: true },
        scales: {
          x: { time: true, range: (_, low, high) => this.span(low, high) },
          y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] },
        },
        axes: [
          { ...axis, values: (_, at, axis, space, step) => at.map((one) => clock.format(one * 1000).slice(0, step < 60 ? 8 : 5)), space: 72 },
          { ...axis, size: 56, values: (_, values) => values.map((one) => one.toLocaleString("en-US")) },
        ],
        series: [
          { value: (_, at) => (at == null ? "—" : clock.format(at * 1000)), label: this.element.dataset.time },
          ...shown.map(([label, n]) => ({
            label, stroke: resolved(strokes[n]), width: 2, dash: dashes[n], points: { show: this.rows.length < 2 },
            fill: n === 0 ? resolved("accent-ground") : undefined,
            value: (_, value) => (value == null ? "—" : value.toLocaleString("en-US")),
          })),
        ],
      }, this.data(), this.element);
      this.element.classList.toggle("skeleton", !this.rows.length);
    }
    set(rows) {
      const few = this.rows.length < 2;
      this.rows = rows;
      if (few) this.draw();
      else this.plot.setData(this.data());
    }
  }
  const start = () => { for (const element of document.querySelectorAll("[data-chart]")) charts.push(new Chart(element)); };
  addEventListener("ticks", (event) => {
    for (const chart of charts) {
      if (chart.name !== "ticks") continue;
      const rows = [...chart.rows, ...event.detail];
      const from = rows.at(-1)[0] - WINDOW_S;
      chart.set(rows.filter((row) => row[0] > from));
    }
  });
  addEventListener("series", (event) => { for (const chart of charts) if (chart.name === event.detail.name) chart.set(event.detail.rows); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.draw()));
  start();
})();

// The behaviour of the page: table (DataTables), plot (Plotly), gallery and the dialog of a run. Texts from the store
// enter the page as text nodes only, never as HTML.

const get = (id) => document.getElementById(id);
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const BATCH = 24; // sets that the gallery adds at once
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon", "hexagram"];

// --- compressed data in the page ------------------------------------------------------------------------------------

async function inflate(id) {
  const text = get(id).textContent;
  const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function load(id) {
  const url = URL.createObjectURL(new Blob([await inflate(id)], { type: "text/javascript" }));
  return import(url).finally(() => URL.revokeObjectURL(url));
}

let plotly; // loaded when a plot is about to scroll into view
const loadPlotly = () => (plotly ??= load("plotly").then(() => window.Plotly));

// --- elements -------------------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

const pairs = (list) => make("dl", {}, ...list.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
const section = (title, ...parts) => make("section", {}, make("h3", {}, title), ...parts);
const collapsed = (title, ...parts) => make("details", {}, make("summary", {}, title), ...parts);

function grid(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((text) => make("td", {}, text))));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heads.join(", ") },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

function picture(set, name) {
  const line = set.across ? "column" : "row";
  const content = set.classes ? `${set.classes} classes, a ${line} each of ${set.images} images` : "a grid of images";
  const image = make("img", { class: "set", src: get(`preview-${set.preview}`).textContent, width: set.width,
    height: set.height, alt: `Synthetic set of ${name}, seed ${set.seed}: ${content}` });
  const lens = make("div", { class: "lens", "aria-hidden": "true" });
  image.addEventListener("pointermove", (event) => {
    const box = image.getBoundingClientRect();
    const zoom = Math.max(4, (8 * set.width) / box.width); // at least eight screen pixels for one of the image
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    image.closest("figure").append(lens);
    const [half, gap] = [lens.offsetWidth / 2, 24];
    const left = event.clientX + gap + 2 * half > innerWidth ? event.clientX - gap - 2 * half : event.clientX + gap;
    const top = Math.min(event.clientY - half, innerHeight - 2 * half);
    Object.assign(lens.style, { left: `${Math.max(0, left)}px`, top: `${Math.max(0, top)}px`,
      backgroundImage: `url(${image.src})`, backgroundSize: `${box.width * zoom}px ${box.height * zoom}px`,
      backgroundPosition: `${half - x * zoom}px ${half - y * zoom}px` });
  });
  image.addEventListener("pointerleave", () => lens.remove());
  return image;
}

// --- plots ----------------------------------------------------------------------------------------------------------

function layout(x, y, xOptions = {}) {
  const [ink, line, paper] = ["--ink", "--line", "--paper"].map((name) => getComputedStyle(root).getPropertyValue(name));
  const axis = (text) => ({ title: { text }, gridcolor: line, linecolor: ink, zeroline: false, automargin: true });
  return { font: { color: ink, family: "system-ui, sans-serif" }, paper_bgcolor: paper, plot_bgcolor: paper,
    margin: { l: 50, r: 20, t: 30, b: 50 }, xaxis: { ...axis(x), ...xOptions }, yaxis: axis(y), showlegend: true,
    legend: { orientation: "h", y: -0.25 }, hovermode: "closest" };
}

// Named one by one, as Plotly's defaults include a button that sends the plot to a server.
const BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
const plotOptions = { responsive: true, displaylogo: false, modeBarButtons: [BUTTONS] };

// A color of the figures, which are printed on white; on a dark page it is mixed with white.
function onPage(color) {
  if (!root.classList.contains("dark")) return color;
  const parts = [1, 3, 5].map((at) => Math.round(0.55 * parseInt(color.slice(at, at + 2), 16) + 0.45 * 255));
  return `rgb(${parts.join(",")})`;
}

// One trace for each row of the table, whose points are its ipcs; its look is that of the figures.
function traces(rows, styles, indices) {
  return [...new Set(indices.map((index) => rows[index].name))].map((name) => {
    const points = indices.filter((index) => rows[index].name === name && rows[index].total !== null);
    const of = (value) => points.map((index) => value(rows[index]));
    return { name, type: "scatter", mode: indices.length > 60 ? "markers" : "markers+text", x: of((row) => row.total),
      y: of((row) => row.accuracy), text: of((row) => row.filters.ipc), textposition: "middle right", customdata: points,
      hovertext: of((row) => `${row.label}: ${row.summary}`.replace(/[<&]/g, (sign) => (sign === "<" ? "&lt;" : "&amp;"))),
      hoverinfo: "text", error_y: { type: "data", array: of((row) => row.deviation), thickness: 1 },
      marker: { size: 10, line: { width: 1, color: getComputedStyle(root).getPropertyValue("--ink") },
        color: onPage(styles[name].color), symbol: styles[name].symbol } };
  }).filter((trace) => trace.x.length);
}

// --- a run ----------------------------------------------------------------------------------------------------------

function setParts(set, name) {
  const parts = [pairs([...set.facts, ["Folder", set.folder || "not in the store"]])];
  if (set.message) parts.unshift(make("p", {}, `${set.status}: ${set.message}`));
  if (set.preview === null) parts.push(make("p", {}, `Picture: ${set.missing}.`));
  else parts.push(magnified(set, name));
  if (set.losses.length) parts.push(make("h4", {}, "Losses of the last step"), pairs(set.losses));
  parts.push(set.log ? collapsed("End of the log", make("pre", { tabindex: 0 }, set.log)) : make("p", {}, "There is no log."));
  return section(`Set of seed ${set.seed}`, ...parts);
}

function magnified(set, name) {
  const image = picture(set, name);
  const start = Math.max(1, Math.min(8, Math.floor(320 / set.width)));
  const slider = make("input", { type: "range", min: 1, max: 16, step: 1, value: start });
  const resize = () => {
    image.width = set.width * slider.value;
    image.height = set.height * slider.value;
    slider.setAttribute("aria-valuetext", `${slider.value} times`);
  };
  slider.addEventListener("input", resize);
  resize();
  const frame = make("div", { class: "frame", tabindex: 0, role: "region", "aria-label": "Picture, scrolls" }, image);
  return make("figure", {}, make("label", {}, "Magnify ", slider), frame);
}

function curveParts(curves) {
  const plot = make("div", { class: "curve", role: "img", "aria-label": `Accuracy along ${curves[0].along}; the numbers follow` });
  const lines = curves.map((curve, at) => ({ name: curve.name, type: "scatter", mode: "lines+markers",
    marker: { symbol: SYMBOLS[at % SYMBOLS.length], size: 8 }, x: curve.points.map((point) => point[1]),
    y: curve.points.map((point) => point[2]) }));
  const axes = layout("Seconds", `Accuracy % (${curves[0].split} split)`);
  loadPlotly().then((Plotly) => Plotly.newPlot(plot, lines, axes, plotOptions));
  const tables = curves.map((curve) => collapsed(`Numbers: ${curve.name}`, grid(["Step", "Seconds", "Accuracy %"],
    curve.points.map(([step, seconds, accuracy]) => [`${step}`, seconds.toFixed(1), accuracy.toFixed(1)]))));
  return section(`Along ${curves[0].along}`, plot, ...tables);
}

function networkParts(networks) {
  const rows = networks.map((network) => [`${network.seed}`, network.accuracies.join("  ") || "–", network.mean,
    network.seconds, network.message ? `${network.status}: ${network.message}` : network.status]);
  const logs = networks.map((network) => collapsed(
    `End of the log, seed ${network.seed}: ${network.folder || "not in the store"}`,
    make("pre", { tabindex: 0 }, network.log || "There is no log.")));
  return section("Networks", grid(["Set of seed", "Accuracy % of each", "Mean", "Seconds", "Status"], rows), ...logs);
}

function commandParts(run) {
  if (!run.command) return section("Repeat", make("p", {}, `There is no command: ${run.notes.join(" ")}.`));
  const text = make("pre", { id: "command", tabindex: 0 }, run.command);
  const copy = make("button", { type: "button" }, "Copy");
  copy.addEventListener("click", () => navigator.clipboard.writeText(run.command)
    .then(() => { copy.textContent = "Copied"; }, () => getSelection().selectAllChildren(text)));
  const note = "In the same store all tasks are done already; store=ELSEWHERE repeats them.";
  return section("Repeat", text, copy, make("p", { class: "note" }, [note, ...run.notes].join(" ")));
}

function openRun(data, index) {
  const run = data.runs[index];
  get("run-title").textContent = run.title;
  const facts = run.paper ? [...run.facts, ["Paper", run.paper]] : run.facts;
  const parts = [pairs(facts)];
  if (run.networks.length) parts.push(networkParts(run.networks));
  if (run.curves.length) parts.push(curveParts(run.curves));
  parts.push(...run.sets.map((identity) => setParts(data.sets[identity], data.rows[index].label)));
  if (run.settings.length) parts.push(section("Settings", pairs(run.settings)));
  if (run.recipe.length) parts.push(section("Protocol", pairs(run.recipe)));
  get("run-body").replaceChildren(...parts, commandParts(run));
  get("run").showModal();
  get("run").scrollTop = 0;
}

// --- the page -------------------------------------------------------------------------------------------------------

function applyTheme() {
  const wantsDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.classList.toggle("dark", wantsDark); // DataTables reads this class
  get("theme").setAttribute("aria-pressed", wantsDark);
}

async function start() {
  const data = JSON.parse(await inflate("data"));
  const { default: DataTable } = await load("datatables");
  document.head.prepend(make("style", {}, await inflate("datatables-style"))); // before the page's own styles, which override it
  const form = get("filters");
  const chosen = () => [...form.querySelectorAll("select")].filter((select) => select.value);
  let shownSets = BATCH;

  const table = new DataTable("#table", { order: [], pageLength: 50, lengthMenu: [25, 50, 100, { label: "all", value: -1 }],
    autoWidth: false, layout: { topStart: null, topEnd: null, bottomStart: ["info", "pageLength"], bottomEnd: "paging" },
    language: { info: "Rows _START_ to _END_ of _TOTAL_", infoEmpty: "No row", infoFiltered: "(_MAX_ without filters)",
      zeroRecords: "No row matches: choose fewer filters", lengthMenu: "_MENU_ rows a page" } });
  table.search.fixed("filters", (_text, _row, index) =>
    chosen().every((select) => data.rows[index].filters[select.name] === select.value));
  const shownRows = () => table.rows({ search: "applied", order: "applied" }).indexes().toArray();

  function gallery() {
    const sets = new Map(); // identity of a set → the first shown row with it
    for (const index of shownRows()) for (const set of data.rows[index].sets) if (!sets.has(set)) sets.set(set, index);
    get("gallery").replaceChildren(...[...sets].slice(0, shownSets).map(([identity, index]) => {
      const [set, row] = [data.sets[identity], data.rows[index]];
      const caption = make("figcaption", {}, `${row.label}, ${row.filters.dataset}, seed ${set.seed}`);
      if (set.preview === null) {
        const button = make("button", { type: "button", class: "open", "data-run": index }, `Picture: ${set.missing}`);
        return make("li", {}, make("figure", {}, button, caption));
      }
      const [image, zoom] = [picture(set, row.label), Math.max(1, Math.floor(220 / set.width))];
      [image.width, image.height] = [set.width * zoom, set.height * zoom];
      return make("li", {}, make("figure", {}, make("button", { type: "button", "data-run": index }, image), caption));
    }));
    get("more").hidden = sets.size <= shownSets;
    get("gallery-count").textContent = `${Math.min(shownSets, sets.size)} of ${sets.size} sets`;
  }

  let near = false; // whether the plot has been close to the window
  async function plot() {
    const shown = new Set(shownRows());
    const selected = get("group").value;
    const groups = data.groups.map((group, index) => [group, `${index}`])
      .filter(([group]) => group.rows.some((index) => shown.has(index)));
    get("group").replaceChildren(...groups.map(([group, index]) => make("option", { value: index }, group.title)));
    if (groups.some(([, index]) => index === selected)) get("group").value = selected;
    if (!near) return;
    const Plotly = await loadPlotly();
    const rows = data.groups[get("group").value]?.rows.filter((index) => shown.has(index)) ?? [];
    const points = traces(data.rows, data.styles, rows);
    await Plotly.react("plot", points, layout("Total seconds", "Accuracy %", { type: "log" }), plotOptions);
    get("plot").removeAllListeners("plotly_click");
    get("plot").on("plotly_click", (event) => openRun(data, event.points[0].customdata));
    get("plot").dataset.drawn = points.reduce((sum, trace) => sum + trace.x.length, 0);
  }

  table.on("draw", () => { shownSets = BATCH; gallery(); plot(); });
  form.addEventListener("change", (event) => event.target.name === "search" || table.draw());
  form.elements.search.addEventListener("input", (event) => table.search(event.target.value).draw());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => table.search("").draw()));
  get("more").addEventListener("click", () => { shownSets += BATCH; gallery(); });
  get("group").addEventListener("change", plot);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-run]");
    if (button) openRun(data, Number(button.dataset.run));
  });
  new IntersectionObserver((entries, self) => {
    if (entries.some((entry) => entry.isIntersecting)) { near = true; self.disconnect(); plot(); }
  }, { rootMargin: "300px" }).observe(get("plot"));
  get("theme").addEventListener("click", plot);
  dark.addEventListener("change", plot);
  gallery();
  plot();
}

get("theme").addEventListener("click", () => {
  root.dataset.theme = root.classList.contains("dark") ? "light" : "dark";
  applyTheme();
});
dark.addEventListener("change", applyTheme);
get("close").addEventListener("click", () => get("run").close());
get("run").addEventListener("click", (event) => { if (event.target === get("run")) get("run").close(); });
applyTheme();
try {
  if (get("table")) await start();
  root.dataset.ready = Math.round(performance.now()); // milliseconds from opening the file until the page responds
} catch (error) {
  get("trouble").textContent = `This browser cannot run the page: ${error}. You can still read the table.`;
  get("trouble").hidden = false;
  throw error;
}

// The behaviour of the page: table (DataTables), plot (Plotly), gallery and the dialog of a run. Texts from the store
// enter the page as text nodes only, never as HTML.

const get = (id) => document.getElementById(id);
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 40rem)"); // as in the styles
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

// A text in which the papers of arXiv, and those named by a DOI, are links.
const SITES = { arXiv: "https://arxiv.org/abs/", doi: "https://doi.org/" };
const linked = (text) => text.split(/(arXiv:\d{4}\.\d{4,5}|doi:10\.\d+\/[\w.]*\w)/).map((part, at) => (at % 2
  ? make("a", { href: part.replace(/(\w+):/, (_, site) => SITES[site]), rel: "noreferrer" }, part) : part));
const pairs = (list) => make("dl", {}, ...list.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, ...linked(text))]));
const section = (title, ...parts) => make("section", {}, make("h3", {}, title), ...parts);
const collapsed = (title, ...parts) => make("details", {}, make("summary", {}, title), ...parts);

function grid(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((text) => make("td", {}, text))));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heads.join(", ") },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

// How many images a picture has in each direction, and the class of one of them.
function tiles(set) {
  const [columns, rows] = !set.classes ? [1, 1] : set.across ? [set.classes, set.images] : [set.images, set.classes];
  const label = (column, row) => {
    const number = set.across ? column : row;
    const name = set.names[number] ?? `${number}`;
    return !set.classes ? "" : name === `${number}` ? `class ${number}` : `${name} (class ${number})`;
  };
  return { columns, rows, label };
}

// The magnifier shows one whole image, with its class.
function picture(set, name) {
  const line = set.across ? "column" : "row";
  const content = set.classes ? `${set.classes} classes, a ${line} each of ${set.images} images` : "a grid of images";
  const image = make("img", { class: "set", src: get(`preview-${set.preview}`).textContent, width: set.width,
    height: set.height, alt: `Synthetic set of ${name}, seed ${set.seed}: ${content}` });
  const [view, text] = [make("div"), make("p")];
  const lens = make("div", { class: "lens", "aria-hidden": "true" }, view, text);
  const { columns, rows, label } = tiles(set);
  const [wide, high] = [(set.width + 1) / columns, (set.height + 1) / rows]; // of an image and the line after it
  image.addEventListener("pointermove", (event) => {
    const box = image.getBoundingClientRect();
    const at = (part, count) => Math.min(count - 1, Math.max(0, Math.floor(part * count)));
    const column = at((event.clientX - box.left) / box.width, columns);
    const row = at((event.clientY - box.top) / box.height, rows);
    image.closest("figure").append(lens);
    text.textContent = label(column, row);
    const zoom = view.offsetWidth / (Math.max(wide, high) - 1);
    Object.assign(view.style, { height: `${(high - 1) * zoom}px`, backgroundImage: `url(${image.src})`,
      backgroundSize: `${set.width * zoom}px ${set.height * zoom}px`,
      backgroundPosition: `${-column * wide * zoom}px ${-row * high * zoom}px` });
    const [width, height, gap] = [lens.offsetWidth, lens.offsetHeight, 24];
    const left = event.clientX + gap + width > innerWidth ? event.clientX - gap - width : event.clientX + gap;
    const top = Math.min(event.clientY - height / 2, innerHeight - height);
    Object.assign(lens.style, { left: `${Math.max(0, left)}px`, top: `${Math.max(0, top)}px` });
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

// A logarithmic axis around these values with ticks at 10, 20, 50, 100, …; over more decades with fewer of them.
function logAxis(values) {
  const [low, high] = [Math.min(...values) / 1.5, Math.max(...values) * 1.5];
  const decades = Math.log10(high / low);
  const steps = decades < 2.6 ? [1, 2, 5] : decades < 4 ? [1, 3] : [1];
  const ticks = [...Array(16).keys()].flatMap((power) => steps.map((step) => step * 10 ** (power - 5)));
  return { type: "log", range: [Math.log10(low), Math.log10(high)], tickvals: ticks,
    ticktext: ticks.map((value) => (value < 1 ? `${Number(value.toPrecision(1))}` : value.toLocaleString("en"))) };
}

// The names of rows beside their last points, moved down where one would cover another, and cut to half of the width.
function labels(plot, points) {
  const { xaxis, yaxis } = plot._fullLayout;
  const placed = [];
  const longest = Math.max(8, Math.floor((xaxis._length / 2 - 24) / 7));
  const cut = (name) => (name.length > longest ? `${name.slice(0, longest - 1)}…` : name);
  const ends = points.map((trace) => [trace, trace.x.length - 1, cut(trace.meta)]).map(([trace, last, name]) => ({ trace, name,
    x: xaxis.d2p(trace.x[last]), y: yaxis.d2p(trace.y[last]), last, size: 7 * name.length + 24 }));
  return ends.sort((one, other) => one.y - other.y).map(({ trace, name, x, y, last, size }) => {
    const falls = last > 0 && trace.x[last] < trace.x[last - 1]; // the row's line is on the right
    const leftwards = x + size > xaxis._length || (falls && x > size);
    const [start, end] = leftwards ? [x - size, x] : [x, x + size];
    let at = y;
    while (placed.some((other) => Math.abs(other.at - at) < 15 && other.start < end && start < other.end)) at += 3;
    placed.push({ at, start, end });
    return { x: Math.log10(trace.x[last]), y: trace.y[last], text: escaped(name), xanchor: leftwards ? "right" : "left",
      ax: leftwards ? -16 : 16, ay: at - y, arrowhead: 0, arrowwidth: 0.7, standoff: 6, arrowcolor: trace.marker.color,
      font: { color: trace.marker.color } };
  });
}

// Named one by one, as Plotly's defaults include a button that sends the plot to a server.
const BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
const plotOptions = { responsive: true, displaylogo: false, modeBarButtons: [BUTTONS] };

// A color of the figures, which are printed on white; on a dark page dark ones become light, of the same hue.
function onPage(color) {
  if (!root.classList.contains("dark")) return color;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);
  const [low, high] = [Math.min(red, green, blue), Math.max(red, green, blue)];
  const [range, light] = [high - low, (high + low) / 2];
  const hue = !range ? 0 : high === red ? (green - blue) / range : high === green ? 2 + (blue - red) / range : 4 + (red - green) / range;
  const saturation = range ? range / (1 - Math.abs(2 * light - 1)) : 0;
  return `hsl(${Math.round(60 * hue + 360) % 360}, ${Math.round(100 * saturation)}%, ${Math.round(92 - 55 * light)}%)`;
}

const escaped = (text) => text.replace(/[<&]/g, (sign) => (sign === "<" ? "&lt;" : "&amp;"));
const NAMED = 14; // rows up to which names are in the plot; more are in a legend

// One trace for each row of the table, whose points are its ipcs; its look is that of the figures.
function traces(rows, styles, indices) {
  const ipcs = new Set(indices.map((index) => rows[index].filters.ipc)).size;
  return [...new Set(indices.map((index) => rows[index].name))].map((name) => {
    const points = indices.filter((index) => rows[index].name === name && rows[index].total !== null && rows[index].accuracy !== null);
    const of = (value) => points.map((index) => value(rows[index]));
    const color = onPage(styles[name].color);
    return { name: escaped(name), meta: name, type: "scatter", mode: ipcs > 1 && indices.length <= 60 ? "lines+markers+text" : "lines+markers",
      x: of((row) => row.total), y: of((row) => row.accuracy), text: of((row) => row.filters.ipc), textposition: "bottom left",
      customdata: points, hovertext: of((row) => escaped(`${row.label}: ${row.summary}`)), hoverinfo: "text",
      line: { width: 1, color }, error_y: { type: "data", array: of((row) => row.deviation), thickness: 1 },
      marker: { size: 10, line: { width: 1, color: getComputedStyle(root).getPropertyValue("--ink") }, color,
        symbol: styles[name].symbol } };
  }).filter((trace) => trace.x.length);
}

const DASHES = ["solid", "dash", "dot", "dashdot"]; // of losses by name
const SEED_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"]; // those of the figures

// A line for each loss of each set, against the steps.
function lossLines(sets) {
  const names = [...new Set(sets.flatMap((set) => set.curves.map((curve) => curve.name)))];
  return sets.flatMap((set, at) => set.curves.map((curve) => ({ name: escaped(`${curve.name}, seed ${set.seed}`),
    type: "scatter", mode: "lines", x: curve.steps, y: curve.values,
    line: { color: onPage(SEED_COLORS[at % SEED_COLORS.length]), dash: DASHES[names.indexOf(curve.name) % DASHES.length], width: 1.5 } })));
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
  const size = make("input", { type: "range", min: 1, max: 16, step: 1, value: start });
  const resize = () => {
    image.width = set.width * size.value;
    image.height = set.height * size.value;
    size.setAttribute("aria-valuetext", `${size.value} times`);
  };
  size.addEventListener("input", resize);
  resize();
  const parts = [make("label", {}, "Magnify ", size)];
  if (set.steps.length > 1) {
    const views = [...set.steps, ["the end", set.preview]];
    const [slider, text] = [make("input", { type: "range", min: 0, max: set.steps.length, step: 1, value: set.steps.length, class: "step" }), make("output")];
    const show = () => {
      const [step, preview] = views[slider.value];
      image.src = get(`preview-${preview}`).textContent;
      text.textContent = step === "the end" ? step : `step ${step}`;
      slider.setAttribute("aria-valuetext", text.textContent);
    };
    slider.addEventListener("input", show);
    show();
    parts.push(" ", make("label", {}, "Step ", slider, " ", text));
  }
  const names = make("div", { class: set.across ? "names across" : "names" }, ...set.names.slice(0, set.classes).map((text) => make("span", {}, text)));
  const content = set.names.length ? make("div", { class: "named" }, names, image) : image;
  if (set.across) content.style.gridTemplateColumns = "max-content";
  const frame = make("div", { class: "frame", tabindex: 0, role: "region", "aria-label": "Picture, scrolls" }, content);
  return make("figure", {}, ...parts, frame);
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
  get("run").dataset.key = data.keys[index];
  if (!get("run").open) get("run").showModal();
  keepAddress();
  get("run").scrollTop = 0;
}

// --- the page -------------------------------------------------------------------------------------------------------

// The filters that are set and the run that is open, in the fragment of the page's address.
function keepAddress() {
  const fields = [...get("filters").elements].filter((field) => field.name && field.value);
  const state = new URLSearchParams(fields.map((field) => [field.name, field.value]));
  if (get("run").open) state.set("run", get("run").dataset.key);
  if (state.size || location.hash.includes("=")) history.replaceState(null, "", `#${state}`);
}

function applyTheme() {
  const wantsDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.classList.toggle("dark", wantsDark); // DataTables reads this class
  get("theme").textContent = wantsDark ? "Use light colours" : "Use dark colours";
}

async function start() {
  const data = JSON.parse(await inflate("data"));
  const { default: DataTable } = await load("datatables");
  document.head.prepend(make("style", {}, await inflate("datatables-style"))); // before the page's own styles, which override it
  const form = get("filters");
  const chosen = () => [...form.querySelectorAll("select")].filter((select) => select.value);
  let shownSets = BATCH;

  const table = new DataTable("#table", { order: [], columnDefs: [{ targets: "best-first", orderSequence: ["desc", "asc", ""] }], pageLength: 50, lengthMenu: [25, 50, 100, { label: "all", value: -1 }],
    autoWidth: false, layout: { topStart: null, topEnd: null, bottomStart: ["info", "pageLength"], bottomEnd: "paging" },
    language: { info: "Rows _START_ to _END_ of _TOTAL_", infoEmpty: "No row", infoFiltered: "(_MAX_ without filters)",
      zeroRecords: "No row matches: choose fewer filters", lengthMenu: "_MENU_ rows a page" } });
  table.search.fixed("filters", (_text, _row, index) =>
    chosen().every((select) => data.rows[index].filters[select.name] === select.value));
  const shownRows = () => table.rows({ search: "applied", order: "applied" }).indexes().toArray();

  // Grouped by dataset and ipc; the first seed of each row, or all of them.
  function gallery() {
    const sets = new Map(); // identity of a set → the first shown row with it
    const count = get("seeds").checked ? Infinity : 1;
    for (const index of shownRows()) for (const set of data.rows[index].sets.slice(0, count)) if (!sets.has(set)) sets.set(set, index);
    const headings = new Map(); // heading → its sets
    const sorted = [...sets].sort(([, one], [, other]) => {
      const [a, b] = [data.rows[one].filters, data.rows[other].filters];
      return a.dataset === b.dataset ? a.ipc - b.ipc : 0; // stable: rows of one ipc keep the order of the table
    });
    for (const [identity, index] of sorted.slice(0, shownSets)) {
      const { dataset, ipc } = data.rows[index].filters;
      const heading = `${dataset}, ipc ${ipc}`;
      headings.set(heading, [...(headings.get(heading) ?? []), card(identity, index)]);
    }
    get("gallery").replaceChildren(...[...headings].flatMap(([heading, cards]) => [make("h3", {}, heading), make("ul", {}, ...cards)]));
    get("more").hidden = sets.size <= shownSets;
    get("gallery-count").textContent = `${Math.min(shownSets, sets.size)} of ${sets.size} sets`;
  }

  function card(identity, index) {
    const [set, row] = [data.sets[identity], data.rows[index]];
    const caption = make("figcaption", {}, `${row.name}, seed ${set.seed}`);
    if (set.preview === null) {
      const button = make("button", { type: "button", class: "open", "data-run": index }, `Picture: ${set.missing}`);
      return make("li", {}, make("figure", {}, button, caption));
    }
    const [image, zoom] = [picture(set, row.label), Math.max(1, Math.floor(220 / set.width))];
    [image.width, image.height] = [set.width * zoom, set.height * zoom];
    return make("li", {}, make("figure", {}, make("button", { type: "button", "data-run": index }, image), caption));
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
    const axes = layout("Total seconds", "Accuracy %", logAxis(points.flatMap((trace) => trace.x)));
    axes.showlegend = points.length > NAMED;
    await Plotly.react("plot", points, axes, plotOptions);
    await Plotly.relayout("plot", { annotations: axes.showlegend ? [] : labels(get("plot"), points) });
    get("plot").removeAllListeners("plotly_click");
    get("plot").on("plotly_click", (event) => openRun(data, event.points[0].customdata));
    get("plot").dataset.drawn = points.reduce((sum, trace) => sum + trace.x.length, 0);
  }

  async function losses() {
    const shown = shownRows().filter((index) => data.rows[index].sets.some((set) => data.sets[set].curves.length));
    const selected = get("losses-of").value;
    const title = ({ label, filters }) => `${label}, ${filters.dataset}, ${filters.network}`;
    const options = new Map(shown.map((index) => [data.rows[index].sets[0], title(data.rows[index])])); // once for each set
    get("losses-of").replaceChildren(...[...options].map(([set, text]) => make("option", { value: set }, text)));
    if (options.has(selected)) get("losses-of").value = selected;
    if (!near) return;
    const index = shown.find((number) => data.rows[number].sets[0] === get("losses-of").value);
    const lines = index === undefined ? [] : lossLines(data.rows[index].sets.map((set) => data.sets[set]));
    const values = lines.flatMap((line) => line.y);
    const axes = layout("Step", "Loss");
    if (Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 10) axes.yaxis.type = "log";
    await (await loadPlotly()).react("losses", lines, axes, plotOptions);
    get("losses").dataset.drawn = lines.length;
  }

  const plots = () => { plot(); losses(); };
  table.on("draw", () => { shownSets = BATCH; gallery(); plots(); keepAddress(); });
  function applyAddress() {
    const state = new URLSearchParams(location.hash.slice(1));
    if (location.hash && !location.hash.includes("=")) return; // a link within the page
    for (const field of form.elements) if (field.name) field.value = state.get(field.name) ?? "";
    const run = data.keys.indexOf(state.get("run"));
    table.search(form.elements.search.value).draw();
    if (run >= 0) openRun(data, run);
    else get("run").close();
  }
  addEventListener("hashchange", applyAddress);
  form.addEventListener("change", (event) => event.target.name === "search" || table.draw());
  form.elements.search.addEventListener("input", (event) => table.search(event.target.value).draw());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => table.search("").draw()));
  get("seeds").addEventListener("change", gallery);
  get("more").addEventListener("click", () => { shownSets += BATCH; gallery(); });
  get("group").addEventListener("change", plot);
  get("losses-of").addEventListener("change", losses);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-run]");
    if (button) openRun(data, Number(button.dataset.run));
  });
  new IntersectionObserver((entries, self) => {
    if (entries.some((entry) => entry.isIntersecting)) { near = true; self.disconnect(); plots(); }
  }, { rootMargin: "300px" }).observe(get("plot"));
  get("theme").addEventListener("click", plots);
  dark.addEventListener("change", plots);
  get("filter-box").open = !narrow.matches || location.hash.includes("=");
  narrow.addEventListener("change", () => { get("filter-box").open ||= !narrow.matches; });
  gallery();
  plots();
  if (location.hash.includes("=")) applyAddress();
}

get("theme").addEventListener("click", () => {
  root.dataset.theme = root.classList.contains("dark") ? "light" : "dark";
  applyTheme();
});
dark.addEventListener("change", applyTheme);
get("close").addEventListener("click", () => get("run").close());
get("run").addEventListener("close", keepAddress);
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

// What the page does: table (DataTables), plot (Plotly), gallery and the dialog of a run. Texts of the store enter the
// page as text nodes only, never as HTML.

const get = (id) => document.getElementById(id);
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const BATCH = 24; // sets that the gallery shows at once
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon", "hexagram"];
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];

// --- what lies in the page, packed ------------------------------------------------------------------------------------

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

let plotly; // loaded when a plot comes near
const drawing = () => (plotly ??= load("plotly").then(() => window.Plotly));

// --- elements -------------------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

const pairs = (list) => make("dl", {}, ...list.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
const titled = (title, ...parts) => make("section", {}, make("h3", {}, title), ...parts);
const hidden = (title, ...parts) => make("details", {}, make("summary", {}, title), ...parts);

function grid(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((text) => make("td", {}, text))));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heads.join(", ") },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

function picture(set, name) {
  const line = set.across ? "column" : "row";
  const shows = set.classes ? `${set.classes} classes, a ${line} each of ${set.images} images` : "a grid of images";
  const image = make("img", { class: "set", src: get(`picture-${set.picture}`).textContent, width: set.width,
    height: set.height, alt: `Synthetic set of ${name}, seed ${set.seed}: ${shows}` });
  const lens = make("div", { class: "lens", "aria-hidden": "true" });
  image.addEventListener("pointermove", (event) => {
    const box = image.getBoundingClientRect();
    const times = Math.max(4, (8 * set.width) / box.width); // at least eight screen pixels for one of the image
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    image.closest("figure").append(lens);
    const [half, edge] = [lens.offsetWidth / 2, 24];
    const left = event.clientX + edge + 2 * half > innerWidth ? event.clientX - edge - 2 * half : event.clientX + edge;
    const top = Math.min(event.clientY - half, innerHeight - 2 * half);
    Object.assign(lens.style, { left: `${Math.max(0, left)}px`, top: `${Math.max(0, top)}px`,
      backgroundImage: `url(${image.src})`, backgroundSize: `${box.width * times}px ${box.height * times}px`,
      backgroundPosition: `${half - x * times}px ${half - y * times}px` });
  });
  image.addEventListener("pointerleave", () => lens.remove());
  return image;
}

// --- plots ----------------------------------------------------------------------------------------------------------

function layout(x, y, more = {}) {
  const [ink, line, paper] = ["--ink", "--line", "--paper"].map((name) => getComputedStyle(root).getPropertyValue(name));
  const axis = (text) => ({ title: { text }, gridcolor: line, linecolor: ink, zeroline: false, automargin: true });
  return { font: { color: ink, family: "system-ui, sans-serif" }, paper_bgcolor: paper, plot_bgcolor: paper,
    margin: { l: 50, r: 20, t: 30, b: 50 }, xaxis: { ...axis(x), ...more }, yaxis: axis(y), showlegend: true,
    legend: { orientation: "h", y: -0.25 }, hovermode: "closest" };
}

// Named one by one: Plotly's own choice has a button that sends the plot to a server.
const BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
const settings = { responsive: true, displaylogo: false, modeBarButtons: [BUTTONS] };

function traces(rows, places) {
  const names = [...new Set(rows.map((row) => row.filters.method))]; // a method keeps its mark whatever is shown
  return names.map((name, at) => {
    const mine = places.filter((place) => rows[place].filters.method === name && rows[place].total !== null);
    const of = (value) => mine.map((place) => value(rows[place]));
    return { name, type: "scatter", mode: places.length > 60 ? "markers" : "markers+text", x: of((row) => row.total),
      y: of((row) => row.accuracy), text: of((row) => row.filters.ipc), textposition: "middle right", customdata: mine,
      hovertext: of((row) => `${row.label}: ${row.shown}`.replace(/[<&]/g, (sign) => (sign === "<" ? "&lt;" : "&amp;"))),
      hoverinfo: "text", error_y: { type: "data", array: of((row) => row.error), thickness: 1 },
      marker: { size: 10, line: { width: 1, color: getComputedStyle(root).getPropertyValue("--ink") }, color: COLOURS[at % COLOURS.length],
        symbol: SYMBOLS[at % SYMBOLS.length] + (rows[mine[0]]?.baseline ? "-open" : "") } };
  }).filter((trace) => trace.x.length);
}

// --- a run ----------------------------------------------------------------------------------------------------------

function setParts(set, name) {
  const parts = [pairs([...set.facts, ["Folder", set.folder || "not in the store"]])];
  if (set.message) parts.unshift(make("p", {}, `${set.status}: ${set.message}`));
  if (set.picture === null) parts.push(make("p", {}, `Picture: ${set.why}.`));
  else parts.push(magnified(set, name));
  if (set.losses.length) parts.push(make("h4", {}, "Losses of the last step"), pairs(set.losses));
  parts.push(set.log ? hidden("End of the log", make("pre", { tabindex: 0 }, set.log)) : make("p", {}, "No log is there."));
  return titled(`Set of seed ${set.seed}`, ...parts);
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
  const place = make("div", { class: "curve", role: "img", "aria-label": `Accuracy along ${curves[0].along}; the numbers follow` });
  const lines = curves.map((curve, at) => ({ name: curve.name, type: "scatter", mode: "lines+markers",
    marker: { symbol: SYMBOLS[at % SYMBOLS.length], size: 8 }, x: curve.points.map((point) => point[1]),
    y: curve.points.map((point) => point[2]) }));
  const axes = layout("Seconds", `Accuracy % (${curves[0].split} split)`);
  drawing().then((Plotly) => Plotly.newPlot(place, lines, axes, settings));
  const tables = curves.map((curve) => hidden(`Numbers: ${curve.name}`, grid(["Step", "Seconds", "Accuracy %"],
    curve.points.map(([step, seconds, accuracy]) => [`${step}`, seconds.toFixed(1), accuracy.toFixed(1)]))));
  return titled(`Along ${curves[0].along}`, place, ...tables);
}

function networkParts(networks) {
  const rows = networks.map((one) => [`${one.seed}`, one.accuracies.join("  ") || "–", one.mean, one.seconds,
    one.message ? `${one.status}: ${one.message}` : one.status]);
  const logs = networks.map((one) => hidden(`End of the log, seed ${one.seed}: ${one.folder || "not in the store"}`,
    make("pre", { tabindex: 0 }, one.log || "No log is there.")));
  return titled("Networks", grid(["Set of seed", "Accuracy % of each", "Mean", "Seconds", "Status"], rows), ...logs);
}

function commandParts(run) {
  if (!run.command) return titled("Again", make("p", {}, `No command can be given: ${run.notes.join(" ")}.`));
  const text = make("pre", { id: "command", tabindex: 0 }, run.command);
  const copy = make("button", { type: "button" }, "Copy");
  copy.addEventListener("click", () => navigator.clipboard.writeText(run.command)
    .then(() => { copy.textContent = "Copied"; }, () => getSelection().selectAllChildren(text)));
  const where = "In the same store it finds everything done; store=ELSEWHERE does it again.";
  return titled("Again", text, copy, make("p", { class: "note" }, [where, ...run.notes].join(" ")));
}

function openRun(data, place) {
  const run = data.runs[place];
  get("run-title").textContent = run.title;
  const facts = run.paper ? [...run.facts, ["Paper", run.paper]] : run.facts;
  const parts = [pairs(facts)];
  if (run.networks.length) parts.push(networkParts(run.networks));
  if (run.curves.length) parts.push(curveParts(run.curves));
  parts.push(...run.sets.map((identity) => setParts(data.sets[identity], data.rows[place].label)));
  if (run.settings.length) parts.push(titled("Settings", pairs(run.settings)));
  if (run.recipe.length) parts.push(titled("Protocol", pairs(run.recipe)));
  get("run-body").replaceChildren(...parts, commandParts(run));
  get("run").showModal();
  get("run").scrollTop = 0;
}

// --- the page -------------------------------------------------------------------------------------------------------

function colours() {
  const wanted = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.classList.toggle("dark", wanted); // DataTables goes by it
  get("theme").setAttribute("aria-pressed", wanted);
}

async function begin() {
  const data = JSON.parse(await inflate("data"));
  const { default: DataTable } = await load("datatables");
  document.head.prepend(make("style", {}, await inflate("datatables-style"))); // ours stands on top
  const form = get("filters");
  const chosen = () => [...form.querySelectorAll("select")].filter((one) => one.value);
  let left = BATCH;

  const table = new DataTable("#table", { order: [], pageLength: 50, lengthMenu: [25, 50, 100, { label: "all", value: -1 }],
    autoWidth: false, layout: { topStart: null, topEnd: null, bottomStart: ["info", "pageLength"], bottomEnd: "paging" },
    language: { info: "Rows _START_ to _END_ of _TOTAL_", infoEmpty: "No row", infoFiltered: "(_MAX_ without filters)",
      zeroRecords: "No row is left: choose fewer filters", lengthMenu: "_MENU_ rows a page" } });
  table.search.fixed("filters", (_text, _row, at) => chosen().every((one) => data.rows[at].filters[one.name] === one.value));
  const places = () => table.rows({ search: "applied", order: "applied" }).indexes().toArray();

  function gallery() {
    const sets = new Map(); // by identity: the first row that it stands behind
    for (const place of places()) for (const set of data.rows[place].sets) if (!sets.has(set)) sets.set(set, place);
    get("gallery").replaceChildren(...[...sets].slice(0, left).map(([identity, place]) => {
      const [set, row] = [data.sets[identity], data.rows[place]];
      const caption = make("figcaption", {}, `${row.label}, ${row.filters.dataset}, seed ${set.seed}`);
      if (set.picture === null) {
        const button = make("button", { type: "button", class: "open", "data-run": place }, `Picture: ${set.why}`);
        return make("li", {}, make("figure", {}, button, caption));
      }
      const [image, times] = [picture(set, row.label), Math.max(1, Math.floor(220 / set.width))];
      [image.width, image.height] = [set.width * times, set.height * times];
      return make("li", {}, make("figure", {}, make("button", { type: "button", "data-run": place }, image), caption));
    }));
    get("more").hidden = sets.size <= left;
    get("gallery-count").textContent = `${Math.min(left, sets.size)} of ${sets.size} sets`;
  }

  let near = false; // whether the plot has come near the window
  async function plot() {
    const shown = new Set(places());
    const before = get("group").value;
    const open = data.groups.map((group, at) => [group, `${at}`]).filter(([group]) => group.rows.some((at) => shown.has(at)));
    get("group").replaceChildren(...open.map(([group, at]) => make("option", { value: at }, group.title)));
    if (open.some(([, at]) => at === before)) get("group").value = before;
    if (!near) return;
    const Plotly = await drawing();
    const rows = data.groups[get("group").value]?.rows.filter((at) => shown.has(at)) ?? [];
    const marks = traces(data.rows, rows);
    await Plotly.react("plot", marks, layout("Total seconds", "Accuracy %", { type: "log" }), settings);
    get("plot").removeAllListeners("plotly_click");
    get("plot").on("plotly_click", (event) => openRun(data, event.points[0].customdata));
    get("plot").dataset.drawn = marks.reduce((sum, trace) => sum + trace.x.length, 0);
  }

  table.on("draw", () => { left = BATCH; gallery(); plot(); });
  form.addEventListener("change", (event) => event.target.name === "search" || table.draw());
  form.elements.search.addEventListener("input", (event) => table.search(event.target.value).draw());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => table.search("").draw()));
  get("more").addEventListener("click", () => { left += BATCH; gallery(); });
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
  colours();
});
dark.addEventListener("change", colours);
get("close").addEventListener("click", () => get("run").close());
get("run").addEventListener("click", (event) => { if (event.target === get("run")) get("run").close(); });
colours();
try {
  if (get("table")) await begin();
  root.dataset.ready = Math.round(performance.now()); // milliseconds from opening the file to a page that answers
} catch (error) {
  get("trouble").textContent = `This browser cannot run the page: ${error}. The table can be read as it is.`;
  get("trouble").hidden = false;
  throw error;
}

// What the page and the report draw with. Whatever comes from a run is text, never markup.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svg(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

const whole = (n) => Math.round(n).toLocaleString("en");
const rate = (n) => `${n > 0 && n < 10 ? n.toFixed(1) : whole(n)}/s`;

function seconds(s) {
  if (s === null || s === undefined) return "–";
  if (s === 0) return "0 s";
  const [factor, unit] = s >= 0.9995 ? [1, "s"] : s >= 0.0009995 ? [1e3, "ms"] : [1e6, "µs"];
  return `${Number((s * factor).toPrecision(3)).toLocaleString("en")} ${unit}`;
}

function clock(s) {
  const [hours, minutes] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  const pad = (n) => String(n).padStart(2, "0");
  return `${hours}:${pad(minutes)}:${pad(Math.floor(s % 60))}`;
}

function bytes(n) {
  let power = 0;
  for (; n >= 1000 && power < 4; power += 1) n /= 1024;
  return `${power && n < 10 ? n.toFixed(1) : whole(n)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

// Rows of cells under a header; a column whose name begins with # has numbers.
function table(caption, columns, rows) {
  if (!rows.length) return el("p", { class: "dim" }, "none so far");
  const of = columns.map((name) => (name.startsWith("#") ? { class: "number" } : {}));
  const head = columns.map((name, k) => el("th", { scope: "col", ...of[k] }, name.replace("#", "")));
  const body = rows.map((cells) =>
    el("tr", {}, ...cells.map((cell, k) => el(k ? "td" : "th", k ? of[k] : { scope: "row" }, cell))),
  );
  const made = el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
  return el("div", { class: "wide", role: "group", tabindex: "0", "aria-label": caption }, made);
}

function facts(list, pairs) {
  list.replaceChildren(
    ...pairs.map(([name, value, more]) => {
      const says = el("dd", {}, value);
      if (more) says.append(el("small", {}, more));
      return el("div", {}, el("dt", {}, name), says);
    }),
  );
}

const kinds = (failures) =>
  Object.entries(failures).map(([kind, count]) => `${whole(count)} ${kind}`).join(", ");

// The boxes of the pipeline; `about` says something of a stage.
function pipeline(list, figures, about) {
  const { narrowest } = figures;
  const box = (part, name, says) => {
    const isIt = narrowest.part === part && (part !== "stage" || narrowest.stage === name);
    return el("li", isIt ? { class: "narrowest" } : {}, el("strong", {}, name), el("span", {}, says));
  };
  const ended = Object.values(figures.ended).reduce((sum, n) => sum + n, 0);
  const stages = figures.boxes.map(({ name }) => box("stage", name, about(name)));
  list.replaceChildren(
    box("input", "input", `${whole(figures.received)} read`),
    ...stages,
    box("output", "output", `${whole(ended)} done`),
  );
}

function holds({ narrowest: { part, stage, why } }) {
  const because = why ? `: ${why}` : "";
  if (part === "stage") return `${stage}: this stage holds the run back${because}`;
  if (part === "output") return `the output holds the run back${because}`;
  return part === "input" ? `the input holds the run back${because}` : "";
}

// Calls of stages as rows; `perSecond` tells the rate of one.
function stageTable(stages, perSecond) {
  const columns = ["stage", "#calls/s", "#calls", "#p50", "#p95", "#p99", "#retries", "#cache hits",
    "#skipped", "failures"];
  const count = (n) => (n ? whole(n) : "–");
  return table("Stages", columns, stages.map((each) => [
    each.name, perSecond(each), count(each.calls),
    ...(each.p50_s == null && each.mean_s != null
      ? [`${seconds(each.mean_s)} mean`, "–", "–"]
      : [seconds(each.p50_s), seconds(each.p95_s), seconds(each.p99_s)]),
    count(each.retries), count((each.cache_hits ?? 0) + (each.coalesced ?? 0)), count(each.skipped),
    kinds(each.failures) || "–",
  ]));
}

function targetTable(targets) {
  const circuit = (circuits) =>
    Object.entries(circuits).filter(([, n]) => n).map(([state, n]) => (n > 1 ? `${n} ${state}` : state)).join(", ");
  const wait = ({ reason, waiting, left_s: left }) =>
    `${whole(waiting)} wait: ${reason.replaceAll("_", " ")}${left === null ? "" : `, ${seconds(left)} left`}`;
  return table("Targets", ["target", "circuit", "#limit", "#tokens", "waiting"], targets.map((each) => [
    each.target, circuit(each.circuits) || "–", each.limit === null ? "–" : whole(each.limit),
    each.tokens === null ? "–" : whole(each.tokens), each.waits.map(wait).join("; ") || "–",
  ]));
}

function workerTable(workers, perSecond) {
  const columns = ["worker", "#records/s", "#records", "#has", "#in a call", "#oldest call", "#process"];
  return table("Workers", columns, workers.map((each) => [
    `${each.number}`, perSecond(each), whole(each.done), whole(each.held), whole(each.in_flight),
    each.oldest_s >= 1 ? seconds(each.oldest_s) : "–", `${each.pid ?? "–"}`,
  ]));
}

const partitionTable = (partitions) => table("Partitions", ["partition", "#messages behind"],
  partitions.map(([name, lag]) => [name, whole(lag)]));

function slowTable(slowest) {
  if (!slowest.length) return el("p", { class: "dim" }, "none so far: only stages with policies are timed record by record");
  return table("Slowest records", ["record", "stage", "#took"],
    slowest.map(([took, stage, record]) => [record, stage, seconds(took)]));
}

function exampleTable(examples) {
  if (examples === null) return el("p", { class: "dim" }, "not shown: the monitor has no token");
  const columns = ["where", "stage", "kind", "message", "record"];
  return table("Last failures", columns, [...examples].reverse().map((each) => [
    each.id, each.stage, each.kind, each.message, el("code", {}, each.record),
  ]));
}

// A change of state, in a list of them.
function changeItem({ number, at_s: at, seconds: lasts, reason, target, stage, state }) {
  const when = new Date(at * 1000);
  const more = lasts === undefined ? reason : `for ${seconds(lasts)}`;
  const whose = [target, stage && `(${stage})`].filter(Boolean).join(" ");
  const said = ` ${whose}${whose && ": "}${state}${more ? `, ${more}` : ""}`;
  return el("li", { value: number }, el("time", { datetime: when.toISOString() }, when.toLocaleTimeString()), said);
}

// Points of the history, by the places of their fields.
const AT = 0, RECEIVED = 1, ENDED = 2, STAGES = 7;

function rates(points, field) {
  return points.slice(1).map((point, k) => {
    const before = points[k];
    return [point[AT], (point[field] - before[field]) / Math.max(point[AT] - before[AT], 1e-3)];
  });
}

const throughput = (points) => [
  { name: "in", values: rates(points, RECEIVED) },
  { name: "out", values: rates(points, ENDED) },
];

// The slowest 5% of each stage's calls.
function latencies(points, names) {
  const of = (name) => points.filter((p) => p[STAGES][name]).map((p) => [p[AT], p[STAGES][name][2]]);
  return names.map((name) => ({ name, values: of(name) })).filter(({ values }) => values.length);
}

function ceiling(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((step) => step * power >= most) * power;
}

// Lines over time, from `from` seconds on, with a caption that names them.
function plot(figure, title, series, says, from) {
  const shown = series.slice(0, 6).map(({ name, values }) => ({ name, values: values.filter(([t]) => t >= from) }));
  const all = shown.flatMap(({ values }) => values);
  const [left, right, top, bottom, high] = [64, 8, 8, 20, 176];
  const width = Math.max(figure.clientWidth, 240);
  const most = ceiling(all.reduce((m, [, value]) => Math.max(m, value), 0));
  const last = all.reduce((m, [t]) => Math.max(m, t), from + 10);
  const x = (t) => left + ((t - from) / (last - from)) * (width - left - right);
  const y = (value) => high - bottom - (value / most) * (high - top - bottom);
  const now = shown.map(({ name, values }) => `${name} ${values.length ? says(values.at(-1)[1]) : "–"}`);
  const image = svg("svg", { viewBox: `0 0 ${width} ${high}`, role: "img", "aria-label": `${title}: ${now.join(", ")}` });
  for (const share of [0, 0.5, 1]) {
    image.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(share * most), y2: y(share * most) }));
    image.append(svg("text", { x: left - 6, y: y(share * most) + 4, "text-anchor": "end" }, says(share * most)));
  }
  for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
    const t = from + share * (last - from);
    image.append(svg("text", { x: x(t), y: high - 4, "text-anchor": anchor }, clock(t)));
  }
  shown.forEach(({ values }, k) => {
    const d = values.map(([t, value], i) => `${i ? "L" : "M"}${x(t).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    image.append(svg("path", { class: `s${k}`, d }));
  });
  const caption = el("figcaption", {}, title);
  now.forEach((text, k) => {
    const key = svg("svg", { viewBox: "0 0 20 8", "aria-hidden": "true" });
    key.append(svg("path", { class: `s${k}`, d: "M0 4H20" }));
    caption.append(key, text);
  });
  if (series.length > shown.length) caption.append(`, and ${series.length - shown.length} more stages`);
  figure.replaceChildren(caption, image);
}

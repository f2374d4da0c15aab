// The page of a run that goes on: it follows /events, and draws what came.

const FINE_S = 900;
const OVER_S = 10; // what rates are averages of
const AGAIN_MS = 2000;
const MOST_POINTS = 5000;

let points = [];
let recent = []; // figures of the last seconds
let isWhole = false;
let hasEnded = false;
const changes = new Map();

const ended = (figures) =>
  Object.entries(figures.ended).reduce((sum, [name, n]) => (/unprocessed|skipped/.test(name) ? sum : sum + n), 0);
const failed = ({ ended: { failed: f, dead_lettered: d, dropped } }) => f + d + dropped;

function perSecond(count) {
  const [first, last] = [recent[0], recent.at(-1)];
  const past = last.at_s - first.at_s;
  return past > 0 ? Math.max(0, (count(last) - count(first)) / past) : 0;
}

function callsPerSecond(name) {
  return perSecond(({ stages }) => stages.find((each) => each.name === name)?.calls ?? 0);
}

function doneByWorker(number) {
  return perSecond(({ by_worker: workers }) => workers.find((each) => each.number === number)?.done ?? 0);
}

function take(figures) {
  const { point } = figures;
  if (point && point[AT] > (points.at(-1)?.[AT] ?? -1)) points.push(point);
  if (points.length > MOST_POINTS) points = points.filter((_, k) => k % 2 || k > MOST_POINTS / 2);
  recent.push(figures);
  recent = recent.filter((each) => each.at_s >= figures.at_s - OVER_S);
  draw();
}

function draw() {
  const figures = recent.at(-1);
  if (!figures) return;
  const { where, left_s: left, size_bytes: size, written_bytes: written } = figures;
  byId("state").textContent = `${figures.version}, ${figures.state}, ${clock(figures.at_s)}`;
  document.title = `${whole(ended(figures))} done, ${figures.state}`;
  const share = size ? `${Math.min(100, Math.floor((100 * written) / size))}% of ${bytes(size)}` : "";
  facts(byId("now"), [
    ["in", rate(perSecond((each) => each.received)), `${whole(figures.received)} records`],
    ["out", rate(perSecond(ended)), `${whole(ended(figures))} records`],
    ["done", share || whole(ended(figures)), left === null ? "" : `${clock(left)} to go`],
    ["failed", whole(failed(figures)), ""],
    ["waiting", whole(where.waiting), ""],
    ["in a call", whole(where.calling), figures.oldest_s >= 1 ? `oldest ${seconds(figures.oldest_s)}` : ""],
    ["finished, not written", whole(where.finished), ""],
    ...(figures.lag === null ? [] : [["behind", whole(figures.lag), "messages"]]),
    ...(figures.workers > 1 ? [["workers", whole(figures.workers), `${figures.restarts} restarts`]] : []),
  ]);
  pipeline(byId("pipeline"), figures, (name) => rate(callsPerSecond(name)));
  const says = holds(figures);
  if (byId("narrowest").textContent !== says) byId("narrowest").textContent = says;
  swap("stages", stageTable(figures.stages, ({ name }) => rate(callsPerSecond(name))));
  swap("targets", targetTable(figures.targets));
  swap("workers", workerTable(figures.by_worker, ({ number }) => rate(doneByWorker(number))));
  swap("partitions", partitionTable(figures.partitions));
  byId("of-workers").parentElement.hidden = !figures.by_worker.length;
  byId("of-partitions").parentElement.hidden = !figures.partitions.length;
  swap("slowest", slowTable(figures.slowest));
  swap("failures", exampleTable(figures.examples));
  drawCourse();
}

// A table is replaced only when it says something else: who scrolls or reads in it stays there.
function swap(id, made) {
  const old = byId(id).firstElementChild;
  if (old?.textContent === made.textContent) return;
  const [hadFocus, scrolled] = [old === document.activeElement, old?.scrollLeft ?? 0];
  byId(id).replaceChildren(made);
  made.scrollLeft = scrolled;
  if (hadFocus) made.focus();
}

function drawCourse() {
  const last = points.at(-1)?.[AT] ?? 0;
  const from = isWhole ? 0 : Math.max(0, last - FINE_S);
  const names = (recent.at(-1)?.stages ?? []).map(({ name }) => name);
  plot(byId("throughput"), "records per second", throughput(points), rate, from);
  plot(byId("latency"), "p95 of calls", latencies(points, names), seconds, from);
}

function changed(change) {
  changes.set(change.number, change);
  while (changes.size > 200) changes.delete(changes.keys().next().value);
  const newest = [...changes.values()].sort((a, b) => b.number - a.number);
  byId("changes").replaceChildren(...newest.map(changeItem));
}

const hear = {
  history: (past) => { points = past; },
  state: changed,
  figures: take,
  end: () => { hasEnded = true; },
};

// fetch and not EventSource, which sends no Authorization
async function follow() {
  const token = sessionStorage.getItem("token");
  const answer = await fetch("events", { headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-store" });
  byId("ask").hidden = answer.status !== 401;
  if (answer.status === 401) {
    byId("state").textContent = token ? "that is not the token" : "a token is wanted";
    sessionStorage.removeItem("token");
    return false;
  }
  if (!answer.ok) throw new Error(`the monitor answers ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return !hasEnded;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const [name, data] = event.split("\n").map((line) => line.slice(line.indexOf(" ") + 1));
      hear[name]?.(JSON.parse(data));
    }
  }
}

async function keepFollowing() {
  let goesOn = true;
  while (goesOn) {
    try {
      goesOn = await follow();
    } catch (error) {
      byId("state").textContent = `no connection: ${error.message}`;
    }
    if (goesOn) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value);
  byId("token").value = "";
  keepFollowing();
});
byId("span").addEventListener("click", () => {
  isWhole = !isWhole;
  byId("span").setAttribute("aria-pressed", isWhole);
  drawCourse();
});
addEventListener("resize", drawCourse);
keepFollowing();

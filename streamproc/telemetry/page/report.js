// The report of a run that is over: the same drawings, of what stands in the file.

const report = JSON.parse(byId("data").textContent);
const { figures, summary, history } = report;

const HELD = { circuit_open: "a circuit is open", retry_after: "Retry-After", rate_limited: "rate limit",
  concurrency: "concurrency limit", reader: "its reader is slow" };

function account() {
  const began = new Date(figures.began_s * 1000);
  byId("state").textContent =
    `${began.toLocaleString()}, ${clock(summary.seconds)}, exit code ${summary.exit_code}`;
  const ends = Object.entries(figures.ended).filter(([name, count]) => count || name === "ok");
  facts(byId("account"), [
    ["records", whole(summary.received), rate(summary.records_per_second)],
    ...ends.map(([name, count]) => [name.replaceAll("_", " "), whole(count), ""]),
    ["read", bytes(summary.bytes_in), ""],
    ["written", bytes(summary.bytes_out), ""],
    ...(summary.workers > 1 ? [["workers", whole(summary.workers), `${summary.restarts} restarts`]] : []),
  ]);
  byId("problems").replaceChildren(...report.problems.map((each) => el("li", { class: "alarm" }, each)));
}

function held() {
  const all = report.held.reduce((sum, each) => sum + each.seconds, 0);
  const rows = report.held.filter(({ part }) => part).sort((a, b) => b.seconds - a.seconds);
  const [most] = rows;
  const narrowest = { part: most?.part ?? "", stage: most?.stage ?? "", why: "" };
  const calls = (name) => `${whole(figures.stages.find((each) => each.name === name)?.calls ?? 0)} calls`;
  pipeline(byId("pipeline"), { ...figures, narrowest }, calls);
  byId("held").replaceChildren(table("What held the run back", ["what", "why", "#for", "#of the time"],
    rows.map(({ part, stage, reason, seconds: s }) => [
      stage || part, HELD[reason] ?? (part === "input" ? "no more came in" : "its calls"),
      seconds(s), `${Math.round((100 * s) / all)}%`,
    ])));
}

// What share of calls took how long, of those that were timed; the steps of time grow, as durations do.
function histogram(name, bars) {
  const [width, high, bottom] = [640, 140, 20];
  const most = Math.max(...bars.map(([, count]) => count));
  const all = bars.reduce((sum, [, count]) => sum + count, 0);
  const image = svg("svg", { viewBox: `0 0 ${width} ${high}`, role: "img",
    "aria-label": `${name}: from ${seconds(bars[0][0])} to ${seconds(bars.at(-1)[0])}` });
  const step = width / Math.max(bars.length, 12);
  bars.forEach(([from, count], k) => {
    const tall = (count / most) * (high - bottom - 4);
    const bar = svg("rect", { x: k * step, y: high - bottom - tall, width: Math.max(step - 1, 1), height: tall });
    bar.append(svg("title", {}, `from ${seconds(from)}: ${((100 * count) / all).toFixed(1)}% of calls`));
    image.append(bar);
    if (k % Math.ceil(bars.length / 6) === 0) image.append(svg("text", { x: k * step, y: high - 4 }, seconds(from)));
  });
  return el("figure", {}, el("figcaption", {}, `${name}: calls by how long they took`), image);
}

function drawCourse() {
  plot(byId("throughput"), "records per second", throughput(history), rate, 0);
  plot(byId("latency"), "p95 of calls", latencies(history, figures.stages.map(({ name }) => name)), seconds, 0);
}

account();
held();
drawCourse();
const perSecond = ({ calls }) => rate((calls ?? 0) / Math.max(summary.seconds, 1e-3));
byId("stages").replaceChildren(stageTable(figures.stages, perSecond));
byId("histograms").replaceChildren(
  ...Object.entries(report.histograms).filter(([, bars]) => bars.length).map(([name, bars]) => histogram(name, bars)),
);
byId("targets").replaceChildren(targetTable(figures.targets));
byId("changes").replaceChildren(...report.changes.map(changeItem));
byId("groups").replaceChildren(table("Failures by kind", ["stage", "kind", "#records", "the first", "where"],
  report.groups.map((each) => [each.stage, each.kind, whole(each.count), each.message, each.where])));
byId("slowest").replaceChildren(slowTable(figures.slowest));
byId("failures").replaceChildren(exampleTable(figures.examples));
byId("file").textContent = report.pipeline;
facts(byId("versions"), Object.entries(report.versions).map(([name, value]) => [name, value, ""]));
addEventListener("resize", drawCourse);

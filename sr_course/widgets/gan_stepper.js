// A GAN of one dimension, stepped by hand. Python takes the steps and lays out the panels; here they are drawn.

const BEAT_OF_ROUNDS = 80; // ms between two rounds while it runs
const PATIENCE = 5000; // ms without an answer before it is said
const TIMES = [1, 10, 100];
const MARGIN = { left: 40, right: 12, above: 6 }; // px, for the labels of the axes
const DEEDS = [
  ["discriminator", "Discriminator", "D"],
  ["generator", "Generator", "G"],
  ["both", "Both in turn", "B"],
];
const CHOICES = [
  ["data", "Data", [["one bump", "one bump"], ["two bumps", "two bumps"]]],
  ["generator", "Generator", [["line", "line"], ["step", "line with a step"]]],
  ["discriminator", "Discriminator", [["line", "line"], ["parabola", "parabola"], ["hills", "hills"]]],
  ["loss", "Generator’s loss", [["non-saturating", "−log D: non-saturating"], ["saturating", "log(1 − D): saturating"]]],
];
const STEPPER_KEYS = [
  ["D, G, B", "one step of the discriminator, of the generator, of both; with Shift ten"],
  ["Space", "both in turn, on and on, and pause"],
  ["R", "back to the start"],
];

function render({ model, el }) {
  const listening = makeListening();
  const { on, follow } = listening;
  const rates = model.get("_learning_rates");
  const colours = model.get("_colours");
  let running = false;
  let beat = 0; // the timer of the next round

  // --- what is on the page

  const choices = CHOICES.map(([option, title, values]) => {
    const buttons = values.map(([value, text]) => makeButton(on, text, `${title}: ${text}`, () => talk.send({ set: option, value })));
    return { option, values: values.map(([value]) => value), buttons, row: makeGroup(title, buttons) };
  });

  const slider = (title, most, wanted) => {
    const input = element("input", { type: "range", min: "0", max: String(most), step: "1", "aria-label": title });
    on(input, "input", () => talk.send(wanted(Number(input.value))));
    const readout = element("output", {});
    const row = element("label", { class: "sr-gan-slider" }, element("span", {}, title), input, readout);
    return { row, input, readout };
  };
  const pace = slider("Discriminator steps a round", model.get("_most_steps"), (value) => ({ set: "discriminator_steps", value }));
  const rate = slider("Learning rate", rates.length - 1, (index) => ({ set: "learning_rate", value: rates[index] }));

  const deeds = DEEDS.map(([deed, title, key]) => {
    const buttons = TIMES.map((times) => {
      const keys = times < 100 ? ` (${times === 10 ? "Shift+" : ""}${key})` : "";
      return makeButton(on, `×${times}`, `${title}: ${times} step${times === 1 ? "" : "s"}${keys}`, () => take(deed, times));
    });
    return makeGroup(`${title}${deed === "both" ? "" : " step"}`, buttons);
  });
  const runner = makeButton(on, "▶", "Run", () => run(!running));
  runner.classList.add("sr-play");
  const resetter = makeButton(on, "Reset", "Back to the start (R)", () => {
    run(false);
    talk.send({ do: "reset" });
  });

  const panels = model.get("_scene").panels.map(() => {
    const svg = shape("svg", { role: "img" });
    const caption = element("figcaption");
    const plot = element("div", { class: "sr-gan-plot" }, svg);
    return { svg, caption, plot, figure: element("figure", { class: "sr-gan-panel" }, caption, plot) };
  });
  const numbers = element("div", { class: "sr-gan-numbers", "aria-live": "polite" });
  const { note, say } = makeNote("", { role: "status" });
  const figures = panels.map(({ figure }) => figure);
  const root = element(
    "div",
    { class: "sr-view sr-gan", role: "group", "aria-label": "A GAN of one dimension" },
    element("div", { class: "sr-bar" }, ...choices.map(({ row }) => row)),
    element("div", { class: "sr-bar" }, pace.row, rate.row),
    element("div", { class: "sr-bar" }, ...deeds, element("div", { class: "sr-group" }, runner, resetter)),
    note,
    element(
      "div",
      { class: "sr-gan-panels" },
      element("div", {}, ...figures.slice(0, -1)),
      element("div", {}, figures.at(-1), numbers),
    ),
    makeHelp(STEPPER_KEYS),
  );
  el.append(root);

  // --- steps: Python takes them, and its answer is a new scene

  const talk = makeTalk(model, PATIENCE, (words) => {
    run(false);
    say(words);
    redraw(); // what holds
  });

  function take(deed, times) {
    run(false);
    talk.send({ do: deed, times });
  }

  function run(wanted) {
    clearTimeout(beat);
    running = wanted;
    if (running) round();
    drawRunner();
  }

  function round() {
    talk.send({ do: "both", times: 1 });
  }

  function answered() {
    talk.answered(model.get("_scene").heard);
    say("");
    clearTimeout(beat);
    if (running) beat = setTimeout(round, BEAT_OF_ROUNDS);
    redraw();
  }

  // --- drawing

  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;

  function drawSliders() {
    const steps = model.get("discriminator_steps");
    pace.input.value = String(steps);
    pace.readout.textContent = String(steps);
    const speed = model.get("learning_rate");
    rate.input.value = String(nearest(rates.map(Math.log), Math.log(speed)));
    rate.readout.textContent = String(Number(speed.toPrecision(3)));
    rate.input.setAttribute("aria-valuetext", rate.readout.textContent);
  }

  function draw() {
    for (const { option, values, buttons } of choices) press(buttons, values.indexOf(model.get(option)));
    if (!talk.isAsking()) drawSliders(); // else the hand on one of them is newer than what Python says
    drawRunner();
    const scene = model.get("_scene");
    scene.panels.forEach((panel, index) => drawPanel(panels[index], panel));
    numbers.replaceChildren(...scene.numbers.map(([name, value]) => element("div", {}, element("span", {}, `${name}: `), value)));
  }

  function drawRunner() {
    runner.textContent = running ? "❚❚" : "▶";
    relabel(runner, running ? "Pause (Space)" : "Run: both in turn, on and on (Space)");
  }

  const colourOf = (role) => colours[role] ?? "currentcolor";

  function drawPanel({ svg, caption, plot }, panel) {
    const legend = panel.legend.map(([name, kind, role]) => {
      const box = shape("svg", { width: 18, height: 12, "aria-hidden": "true" });
      const ends = kind === "area" ? [[0, 1], [0, 11], [18, 11], [18, 1]] : kind === "dot" ? [[12, 6]] : [[1, 6], [17, 6]];
      box.append(...drawMark({ kind, role }, ends));
      return element("span", { class: "sr-gan-name" }, box, name);
    });
    caption.replaceChildren(element("strong", {}, panel.title), ...legend, element("span", {}, panel.reading));
    svg.setAttribute("aria-label", panel.reading ? `${panel.title}: ${panel.reading}` : panel.title);

    const width = plot.clientWidth;
    if (width === 0) return; // not laid out yet; the resize observer calls again
    const frame = { width: width - MARGIN.left - MARGIN.right, height: panel.height };
    const at = ([x, y]) => [MARGIN.left + x * frame.width, MARGIN.above + (1 - y) * frame.height];
    const path = (points, name) => shape("path", { d: `M${points.map(at).map(inPixels).join("L")}`, class: name });
    const text = ([x, y], words, anchor, baseline) => {
      const node = shape("text", { x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor, "dominant-baseline": baseline });
      node.textContent = words;
      return node;
    };
    const height = MARGIN.above + panel.height + panel.below;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", String(height));
    const nodes = [];
    for (const [place, label] of panel.y_ticks) {
      const [x, y] = at([0, place]);
      nodes.push(path([[0, place], [1, place]], "sr-chart-grid"), text([x - 5, y], label, "end", "central"));
    }
    for (const [place, label] of panel.x_ticks) {
      const [x, y] = at([place, 0]);
      nodes.push(path([[place, 0], [place, 1]], "sr-chart-grid"), text([x, y + 5], label, "middle", "hanging"));
    }
    if (panel.guide) {
      const [place, label] = panel.guide;
      const [x, y] = at([1, place]);
      nodes.push(path([[0, place], [1, place]], "sr-gan-guide"), text([x - 2, y - 4], label, "end", "auto"));
    }
    nodes.push(path([[0, 1], [0, 0], [1, 0]], "sr-chart-frame"));
    for (const mark of panel.marks) nodes.push(...drawMark(mark, mark.points.map(at)));
    svg.replaceChildren(...nodes);
  }

  // One mark of a panel, its points in pixels.
  function drawMark({ kind, role }, points) {
    const colour = colourOf(role);
    const line = (name) => shape("path", { d: `M${points.map(inPixels).join("L")}`, stroke: colour, class: name });
    if (kind === "area") return [shape("path", { d: `M${points.map(inPixels).join("L")}Z`, fill: colour, class: "sr-gan-area" })];
    if (kind === "dot") return [shape("circle", { cx: points[0][0].toFixed(1), cy: points[0][1].toFixed(1), r: 3, fill: colour })];
    if (kind === "dashes") return [line("sr-gan-line sr-gan-dashes")];
    if (kind === "line") return [line("sr-gan-line")];
    const [[start, y], [end]] = points;
    const wing = Math.sign(end - start) * Math.min(5, Math.abs(end - start));
    const head = `M${end.toFixed(1)} ${y.toFixed(1)}l${(-wing).toFixed(1)} -4v8Z`;
    return [line("sr-gan-line"), shape("path", { d: head, fill: colour })];
  }

  // --- keyboard, start and end

  listenToKeys(on, root, ({ key, target }) => {
    const deed = DEEDS.find(([, , letter]) => letter === key.toUpperCase())?.[0];
    if (deed) take(deed, key === key.toUpperCase() ? 10 : 1);
    else if (key === " " && !target.closest("button, summary")) run(!running); // which take the key themselves
    else if (key === "r" || key === "R") resetter.click();
    else return false;
    return true;
  });

  follow(model, "change:_scene", answered);
  drawing.begin(root);

  return makeEnd(root, { close: () => clearTimeout(beat) }, talk, drawing, listening);
}

function inPixels([x, y]) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

export default { render };

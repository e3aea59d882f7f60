// A training run to move through: pictures, filters and curves at each of its snapshots. It needs no kernel.

const PYTHON_DELAY = 150; // ms of rest before Python is told
const BEAT = 700; // ms that a snapshot is seen for while playing at speed 1
const SPEEDS = [0.5, 1, 2, 4];
const PICTURE_SIDE = 288; // CSS px at most; enlarged by a whole factor, so that pixels stay square
const FILTERS_SIDE = 330;
const STATE = ["index", "sample", "change"];
const BICUBIC = 0; // cells of a sample's sheet; the results of the snapshots follow
const TRUTH = 1;
const RESULTS = 2;
const HELP = [
  ["← →", "one snapshot back or on (Page: five, Home, End); or drag in the curves"],
  ["Space", "play and pause"],
  ["S", "speed"],
  ["1 … 9", "choose the picture"],
  ["C", "filters, or what has changed in them"],
];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const written = (step) => step.toLocaleString("en");

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function shape(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// A canvas under a caption, for cells of one size.
function picture(layout, side) {
  const canvas = element("canvas", { role: "img" });
  const caption = element("figcaption");
  const enlarge = Math.max(1, Math.floor(side / Math.max(layout.width, layout.height)));
  canvas.style.aspectRatio = `${layout.width} / ${layout.height}`;
  const figure = element("figure", {}, caption, canvas);
  figure.style.maxWidth = `${layout.width * enlarge}px`;
  return { figure, caption, canvas };
}

function paint(canvas, sheet, layout, cell, name) {
  const width = Math.round(canvas.clientWidth * window.devicePixelRatio);
  const height = Math.round(canvas.clientHeight * window.devicePixelRatio);
  if (!sheet || width === 0 || height === 0) return; // not there yet; it is painted when it is
  const drawn = [name, cell, width, height].join();
  if (canvas.dataset.drawn === drawn) return;
  canvas.dataset.drawn = drawn;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const scale = width / layout.width;
  // Between 1 and 2, unequal blocks would look like an artefact of the picture.
  context.imageSmoothingEnabled = scale < 2 && !Number.isInteger(scale);
  context.imageSmoothingQuality = "high";
  const left = (cell % layout.columns) * layout.width;
  const top = Math.floor(cell / layout.columns) * layout.height;
  context.drawImage(sheet, left, top, layout.width, layout.height, 0, 0, width, height);
}

// A frame of 1000 x 1000 that is stretched to its place; lines keep their width.
function makeChart({ title, lines, dots, x, y }) {
  const svg = shape("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", role: "img" });
  const at = ([right, up]) => `${(1000 * right).toFixed(1)} ${(1000 - 1000 * up).toFixed(1)}`;
  for (const [place] of y) svg.append(shape("path", { d: `M${at([0, place])}H1000`, class: "sr-scrub-grid" }));
  for (const [place] of x) svg.append(shape("path", { d: `M${at([place, 0])}V0`, class: "sr-scrub-grid" }));
  svg.append(shape("path", { d: "M0 0V1000H1000", class: "sr-scrub-frame" }));
  for (const { colour, points } of lines) {
    if (points.length > 1) svg.append(shape("path", { d: `M${points.map(at).join("L")}`, stroke: colour, class: "sr-scrub-line" }));
    const rounds = points.map((point) => `M${at(point)}h0`).join(""); // a line of no length with round ends
    if (dots || points.length === 1) svg.append(shape("path", { d: rounds, stroke: colour, class: "sr-scrub-dots" }));
  }
  const mark = shape("path", { class: "sr-scrub-mark" });
  svg.append(mark);
  const label = ([place, text], side) => {
    const node = element("span", { class: `sr-scrub-${side}`, "aria-hidden": "true" }, text);
    node.style[side === "x" ? "left" : "bottom"] = `${100 * place}%`;
    return node;
  };
  const names = lines.map(({ name, colour }) => {
    const node = element("span", { class: "sr-scrub-name" }, name);
    node.style.setProperty("--sr-colour", colour);
    return node;
  });
  const reading = element("span", { class: "sr-scrub-reading" });
  const caption = element("figcaption", {}, element("strong", {}, title), ...(lines.length > 1 ? names : []), reading);
  const plot = element("div", { class: "sr-scrub-plot" }, svg, ...x.map((tick) => label(tick, "x")), ...y.map((tick) => label(tick, "y")));
  return { figure: element("figure", { class: "sr-scrub-chart" }, caption, plot), plot, svg, mark, reading };
}

function render({ model, el }) {
  const listening = new AbortController();
  const on = (target, type, listener, options = {}) =>
    target.addEventListener(type, listener, { ...options, signal: listening.signal });
  const [name, steps, samples, filters, charts, marks] = ["_name", "_steps", "_samples", "_filters", "_charts", "_marks"].map((key) => model.get(key));
  const state = Object.fromEntries(STATE.map((key) => [key, model.get(key)]));
  const sheets = [];
  const last = steps.length - 1;
  let speed = 1;
  let playing = 0; // the timer of the next beat
  let pending = 0;
  let frame = 0;

  // --- what is on the page

  const button = (text, label, action) => {
    const node = element("button", { type: "button", title: label, "aria-label": label }, text);
    on(node, "click", action);
    return node;
  };
  const player = button("▶", "Play (Space)", () => play(!playing));
  player.classList.add("sr-scrub-play");
  const slider = element("input", { type: "range", min: "0", max: String(last), step: "1", "aria-label": "Snapshot" });
  on(slider, "input", () => moveTo(Number(slider.value)));
  const readout = element("output", { class: "sr-scrub-readout" });
  const pace = button("1×", "Speed", () => faster());
  const bar = element("div", { class: "sr-scrub-bar" }, player, slider, readout, pace);

  const group = (title, nodes) => {
    const row = element("div", { class: "sr-scrub-group", role: "group", "aria-label": title }, element("span", {}, title), ...nodes);
    row.hidden = nodes.length < 2;
    return row;
  };
  const choices = samples.map((_, index) => button(String(index + 1), `Picture ${index + 1}`, () => change({ sample: index })));
  const views = [["weights", false], [`change since step ${written(steps[0])}`, true]].slice(0, filters.length).map(([text, value]) =>
    button(text, `Filters: ${text} (C)`, () => change({ change: value })),
  );

  const [bicubic, result, truth] = [0, 1, 2].map(() => picture(samples[0], PICTURE_SIDE));
  result.figure.classList.add("sr-scrub-result");
  truth.caption.append(element("strong", {}, "Truth"));
  const kernels = filters.length > 0 ? picture(filters[0], FILTERS_SIDE) : null;
  const plots = charts.map(makeChart);
  const scale = element("div", { class: "sr-scrub-scale", "aria-hidden": "true" }, element("span"), element("i"), element("span"));
  const lower = element("div", { class: "sr-scrub-lower" });
  if (kernels) {
    kernels.figure.append(scale);
    kernels.canvas.classList.add("sr-scrub-filters");
    lower.append(kernels.figure);
  }
  lower.append(element("div", { class: "sr-scrub-charts" }, ...plots.map((plot) => plot.figure)));

  const keys = HELP.map(([key, does]) => element("li", {}, element("kbd", {}, key), ` ${does}`));
  const help = element("details", {}, element("summary", {}, "Keys"), element("ul", {}, ...keys));
  const note = element("p", { class: "sr-scrub-note" }, model.get("_note"));
  note.hidden = !model.get("_note");
  const pictures = element("div", { class: "sr-scrub-pictures" }, bicubic.figure, result.figure, truth.figure);
  const root = element(
    "div",
    { class: "sr-scrub", role: "group", "aria-label": `Training of ${name}, ${steps.length} snapshots` },
    bar,
    element("div", { class: "sr-scrub-bar" }, group("Picture", choices), group("Filters", views)),
    pictures,
    lower,
    help,
    note,
  );
  el.append(root);

  // --- state: changed here at once, told to Python after a rest

  function change(changes) {
    Object.assign(state, changes);
    redraw();
    clearTimeout(pending);
    pending = setTimeout(tellPython, PYTHON_DELAY);
  }

  function tellPython() {
    pending = 0;
    const now = { ...state }; // setting one trait calls the listeners below
    for (const key of STATE) model.set(key, now[key]);
    model.save_changes();
  }

  const followers = STATE.map((key) => [
    `change:${key}`,
    () => {
      if (pending) return; // the hand on the slider is newer than what Python says
      state[key] = model.get(key);
      redraw();
    },
  ]);
  for (const [event, follow] of followers) model.on(event, follow);

  // A hand on the slider ends the play.
  const moveTo = (index) => {
    play(false);
    change({ index: clamp(index, 0, last) });
  };
  const faster = () => {
    speed = SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length];
    redraw();
  };

  function play(wanted) {
    clearTimeout(playing);
    playing = wanted && last > 0 ? setTimeout(beat, BEAT / speed) : 0;
    if (playing && state.index === last) change({ index: 0 }); // from the start again
    redraw();
  }

  function beat() {
    change({ index: Math.min(state.index + 1, last) });
    play(state.index < last);
  }

  // --- drawing

  function redraw() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    const { index, sample } = state;
    const step = written(steps[index]);
    const { bicubic: start, psnr } = samples[sample];
    slider.value = String(index);
    slider.setAttribute("aria-valuetext", `step ${step}, snapshot ${index + 1} of ${steps.length}, ${psnr[index]}`);
    readout.textContent = `step ${step} (${index + 1} of ${steps.length})`;
    const doing = playing ? "Pause (Space)" : "Play (Space)";
    player.textContent = playing ? "❚❚" : "▶";
    for (const attribute of ["title", "aria-label"]) player.setAttribute(attribute, doing);
    player.disabled = last === 0;
    pace.textContent = `${speed}×`;
    for (const attribute of ["title", "aria-label"]) pace.setAttribute(attribute, `Speed ${speed}×, change it (S)`);
    choices.forEach((node, at) => node.setAttribute("aria-pressed", String(at === sample)));
    views.forEach((node, at) => node.setAttribute("aria-pressed", String(at === Number(state.change))));

    bicubic.caption.replaceChildren(element("strong", {}, "Bicubic"), ` ${start}`);
    result.caption.replaceChildren(element("strong", {}, `Step ${step}`), ` ${psnr[index]}`);
    bicubic.canvas.setAttribute("aria-label", `Picture ${sample + 1} enlarged by bicubic, ${start}`);
    result.canvas.setAttribute("aria-label", `Picture ${sample + 1} enlarged by the network at step ${step}, ${psnr[index]}`);
    truth.canvas.setAttribute("aria-label", `Picture ${sample + 1}, the truth`);
    const cells = [[bicubic, BICUBIC], [result, RESULTS + index], [truth, TRUTH]];
    for (const [{ canvas }, cell] of cells) {
      canvas.style.aspectRatio = `${samples[sample].width} / ${samples[sample].height}`;
      paint(canvas, sheets[sample], samples[sample], cell, sample);
    }
    if (kernels) drawFilters(index, step);
    plots.forEach(({ svg, mark, reading }, at) => {
      const x = (1000 * marks[index]).toFixed(1);
      mark.setAttribute("d", `M${x} 0V1000`);
      reading.textContent = charts[at].readings[index];
      svg.setAttribute("aria-label", `${charts[at].title}, curve: ${charts[at].readings[index]}`);
    });
  }

  function drawFilters(index, step) {
    const which = Number(state.change);
    const { title, reach } = filters[which];
    kernels.caption.textContent = title;
    kernels.canvas.setAttribute("aria-label", `${title}, at step ${step}; from -${reach} in blue over white to ${reach} in orange`);
    scale.firstChild.textContent = `−${reach}`;
    scale.lastChild.textContent = `+${reach}`;
    paint(kernels.canvas, sheets[samples.length + which], filters[which], index, which);
  }

  // --- mouse, pen and fingers in the curves: to the nearest snapshot

  for (const { plot, svg } of plots) {
    const seek = (event) => {
      const box = svg.getBoundingClientRect();
      const place = (event.clientX - box.left) / box.width;
      const distances = marks.map((mark) => Math.abs(mark - place));
      moveTo(distances.indexOf(Math.min(...distances)));
    };
    on(plot, "pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault(); // no selection of text
      slider.focus({ preventScroll: true });
      plot.setPointerCapture(event.pointerId);
      seek(event);
    });
    on(plot, "pointermove", (event) => {
      if (plot.hasPointerCapture(event.pointerId)) seek(event);
    });
  }

  // --- keyboard

  const MOVES = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -Infinity, End: Infinity };

  function press({ key, code, target }) {
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(code)?.[1];
    if (key in MOVES) moveTo(state.index + MOVES[key]);
    else if (key === " " && !target.closest("button, summary")) play(!playing); // which take the key themselves
    else if (key === "s" || key === "S") faster();
    else if ((key === "c" || key === "C") && views.length > 1) change({ change: !state.change });
    else if (digit && samples[digit - 1]) change({ sample: digit - 1 });
    else return false;
    return true;
  }

  // JupyterLab listens on the document before the widget does, and there C copies the cell and arrows leave it. So the
  // window is asked first: a plain letter or digit typed here goes no further, nor does Enter on a button.
  on(
    window,
    "keydown",
    (event) => {
      if (!event.composedPath().includes(root) || event.ctrlKey || event.metaKey || event.altKey) return;
      const used = press({ key: event.key, code: event.code, target: event.composedPath()[0] });
      if (used) event.preventDefault();
      if (used || event.key.length === 1 || (event.key === "Enter" && !event.shiftKey)) event.stopPropagation();
    },
    { capture: true },
  );

  // --- start and end

  const resized = new ResizeObserver(redraw);
  resized.observe(root);
  on(window, "resize", redraw); // also tells of another pixel ratio
  let closed = false;
  model.get("_sheets").forEach(async (bytes, index) => {
    try {
      const sheet = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      if (closed) return sheet.close();
      sheets[index] = sheet;
      redraw();
    } catch (error) {
      note.hidden = false;
      note.textContent = `The pictures cannot be shown: ${error.message}`;
    }
  });
  draw();

  return () => {
    closed = true;
    clearTimeout(playing);
    if (pending) {
      clearTimeout(pending);
      tellPython();
    }
    cancelAnimationFrame(frame);
    listening.abort();
    resized.disconnect();
    for (const [event, follow] of followers) model.off(event, follow);
    for (const sheet of sheets) sheet?.close(); // their memory is not the garbage collector's
    root.remove();
  };
}

export default { render };

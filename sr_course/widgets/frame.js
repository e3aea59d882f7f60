// What the widgets share; each stands behind it in one file. It needs no kernel.

const PYTHON_DELAY = 150; // ms of rest before Python is told
const BEAT = 700; // ms that a snapshot is seen for while playing at speed 1
const SPEEDS = [0.5, 1, 2, 4];
const MOVES = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -Infinity, End: Infinity };
const MOVING_KEYS = [
  ["← →", "one snapshot back or on (Page: five, Home, End); or drag in the curves"],
  ["Space", "play and pause"],
  ["S", "speed"],
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

// Listeners on the page and on models that end together.
function makeListening() {
  const ended = new AbortController();
  const followed = [];
  const on = (target, type, listener, options = {}) =>
    target.addEventListener(type, listener, { ...options, signal: ended.signal });
  const follow = (model, event, listener) => {
    model.on(event, listener);
    followed.push(() => model.off(event, listener));
  };
  const close = () => {
    ended.abort();
    for (const forget of followed) forget();
  };
  return { on, follow, close };
}

// What ends a view: all that it began, and what it put on the page.
const makeEnd = (root, ...begun) => () => {
  for (const one of begun) one.close();
  root.remove();
};

function makeButton(on, text, label, action) {
  const node = element("button", { type: "button", title: label, "aria-label": label }, text);
  on(node, "click", action);
  return node;
}

function relabel(node, label) {
  for (const attribute of ["title", "aria-label"]) node.setAttribute(attribute, label);
}

// Buttons of which one is pressed; alone a button is no choice.
function makeGroup(title, nodes) {
  const row = element("div", { class: "sr-group", role: "group", "aria-label": title }, element("span", {}, title), ...nodes);
  row.hidden = nodes.length < 2;
  return row;
}

function press(nodes, chosen) {
  nodes.forEach((node, at) => node.setAttribute("aria-pressed", String(at === chosen)));
}

// A line that is seen while it says something.
function makeNote(text, attributes = {}) {
  const note = element("p", { class: "sr-note", ...attributes });
  const say = (words) => {
    note.textContent = words;
    note.hidden = words === "";
  };
  say(text);
  return { note, say };
}

function makeHelp(rows) {
  const keys = rows.map(([key, does]) => element("li", {}, element("kbd", {}, key), ` ${does}`));
  return element("details", {}, element("summary", {}, "Keys"), element("ul", {}, ...keys));
}

// The state of a view: changed here at once, told to Python after a rest; `round` may make it plainer before that.
function makeState(model, keys, redraw, round = () => {}) {
  const state = Object.fromEntries(keys.map((key) => [key, model.get(key)]));
  let pending = 0;

  function change(changes) {
    Object.assign(state, changes);
    redraw();
    clearTimeout(pending);
    pending = setTimeout(tellPython, PYTHON_DELAY);
  }

  function tellPython() {
    pending = 0;
    round(state);
    const now = { ...state }; // setting one trait calls the listeners below
    for (const key of keys) model.set(key, now[key]);
    model.save_changes();
  }

  const { follow, close: stopFollowing } = makeListening();
  for (const key of keys) {
    follow(model, `change:${key}`, () => {
      if (pending) return; // the hand on the slider is newer than what Python says
      state[key] = model.get(key);
      redraw();
    });
  }

  function close() {
    if (pending) {
      clearTimeout(pending);
      tellPython();
    }
    stopFollowing();
  }

  return { state, change, close };
}

// Messages to Python, each with an id, so that an answer can say which was the last that it heard. `complain` is called
// with words when Python has said nothing for `patience` ms, or cannot be reached.
function makeTalk(model, patience, complain) {
  let newest = ""; // the id of the newest message, until it is answered: what is said to older ones is out of date
  let timer = 0;

  function send(message, buffers = []) {
    newest = Math.random().toString(36);
    try {
      model.send({ ...message, asked: newest }, undefined, buffers);
      timer ||= setTimeout(lose, patience);
    } catch {
      lose(); // the kernel that made the widget is gone
    }
  }

  function lose() {
    answered();
    complain("Python does not answer. It is busy with another cell, or this cell has to be run again.");
  }

  // Where an answer does not say what was heard, it is taken for that to the newest.
  function answered(heard = newest) {
    clearTimeout(timer);
    timer = 0;
    if (heard === newest) newest = "";
    else if (newest) timer = setTimeout(lose, patience);
  }

  return { send, answered, isAsking: () => newest !== "", close: () => clearTimeout(timer) };
}

// A slider with play and pace over `count()` snapshots, of which the one at `place()` is seen; `go` moves to another.
function makePlayer({ on, count, place, go, redraw, label = "Snapshot" }) {
  let speed = 1;
  let playing = 0; // the timer of the next beat
  const end = () => count() - 1;
  const player = makeButton(on, "▶", "Play (Space)", () => play(!playing));
  player.classList.add("sr-play");
  const slider = element("input", { type: "range", min: "0", step: "1", "aria-label": label });
  on(slider, "input", () => moveTo(Number(slider.value)));
  const readout = element("output", { class: "sr-readout" });
  const pace = makeButton(on, "1×", "Speed", () => faster());
  const bar = element("div", { class: "sr-bar" }, player, slider, readout, pace);

  // A hand on the slider ends the play.
  function moveTo(index) {
    play(false);
    go(clamp(index, 0, end()));
  }

  function faster() {
    speed = SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length];
    redraw();
  }

  function play(wanted) {
    clearTimeout(playing);
    playing = wanted && end() > 0 ? setTimeout(beat, BEAT / speed) : 0;
    if (playing && place() === end()) go(0); // from the start again
    redraw();
  }

  function beat() {
    go(Math.min(place() + 1, end()));
    play(place() < end());
  }

  function draw(text, spoken) {
    slider.max = String(end());
    slider.value = String(place());
    slider.setAttribute("aria-valuetext", spoken);
    readout.textContent = text;
    player.textContent = playing ? "❚❚" : "▶";
    relabel(player, playing ? "Pause (Space)" : "Play (Space)");
    player.disabled = end() === 0;
    pace.textContent = `${speed}×`;
    relabel(pace, `Speed ${speed}×, change it (S)`);
  }

  // Whether a key was meant for it.
  function takes({ key, target }) {
    if (key in MOVES) moveTo(place() + MOVES[key]);
    else if (key === " " && !target.closest("button, summary")) play(!playing); // which take the key themselves
    else if (key === "s" || key === "S") faster();
    else return false;
    return true;
  }

  return { bar, slider, moveTo, draw, takes, close: () => clearTimeout(playing) };
}

// A canvas under a caption.
function makePicture({ width, height }, side) {
  const canvas = element("canvas", { role: "img" });
  const caption = element("figcaption");
  const enlarge = Math.max(1, Math.floor(side / Math.max(width, height))); // whole, so that pixels stay square
  canvas.style.aspectRatio = `${width} / ${height}`;
  const figure = element("figure", {}, caption, canvas);
  figure.style.maxWidth = `${width * enlarge}px`;
  return { figure, caption, canvas };
}

// Draw a cell of a sheet; `sheet` may not be there yet, then it is painted when it is.
function paint(canvas, sheet, cell, name) {
  const width = Math.round(canvas.clientWidth * window.devicePixelRatio);
  const height = Math.round(canvas.clientHeight * window.devicePixelRatio);
  if (!sheet || width === 0 || height === 0) return;
  const drawn = [name, cell.left, cell.top, width, height].join();
  if (canvas.dataset.drawn === drawn) return;
  canvas.dataset.drawn = drawn;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const scale = width / cell.width;
  // Between 1 and 2, unequal blocks would look like an artefact of the picture.
  context.imageSmoothingEnabled = scale < 2 && !Number.isInteger(scale);
  context.imageSmoothingQuality = "high";
  context.drawImage(sheet, cell.left, cell.top, cell.width, cell.height, 0, 0, width, height);
}

// Where a picture lies in the one large one that all travelled in.
function cellIn(cells, index) {
  const [left, top, width, height] = cells[index];
  return { left, top, width, height };
}

// Pictures that were sent as files; `done` is called for each when it is there.
function loadSheets(files, done, failed) {
  const sheets = [];
  let closed = false;
  files.forEach(async (bytes, index) => {
    try {
      const sheet = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      if (closed) return sheet.close();
      sheets[index] = sheet;
      done();
    } catch (error) {
      failed(`The pictures cannot be shown: ${error.message}`);
    }
  });
  const close = () => {
    closed = true;
    for (const sheet of sheets) sheet?.close(); // their memory is not the garbage collector's
  };
  return { sheets, close };
}

// A frame of 1000 x 1000 that is stretched to its place; lines keep their width.
function makeChart({ title, lines, dots, guide, x, y }) {
  const svg = shape("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", role: "img" });
  const at = ([right, up]) => `${(1000 * right).toFixed(1)} ${(1000 - 1000 * up).toFixed(1)}`;
  for (const [place] of y) svg.append(shape("path", { d: `M${at([0, place])}H1000`, class: "sr-chart-grid" }));
  for (const [place] of x) svg.append(shape("path", { d: `M${at([place, 0])}V0`, class: "sr-chart-grid" }));
  if (guide) svg.append(shape("path", { d: `M${at([0, guide[0]])}H1000`, class: "sr-chart-guide" }));
  svg.append(shape("path", { d: "M0 0V1000H1000", class: "sr-chart-frame" }));
  const drawn = lines.map(({ colour }) => {
    const [line, rounds] = ["line", "dots"].map((name) => shape("path", { stroke: colour, class: `sr-chart-${name}` }));
    svg.append(line, rounds);
    return { line, rounds };
  });
  const mark = shape("path", { class: "sr-chart-mark" });
  svg.append(mark);
  const label = ([place, text], side) => {
    const node = element("span", { class: `sr-chart-${side}`, "aria-hidden": "true" }, text);
    node.style[side === "x" ? "left" : "bottom"] = `${100 * place}%`;
    return node;
  };
  const names = lines.map(({ name, colour }) => {
    const node = element("span", { class: "sr-chart-name" }, name);
    node.style.setProperty("--sr-colour", colour);
    return node;
  });
  const reading = element("span", { class: "sr-chart-reading" });
  const caption = element("figcaption", {}, element("strong", {}, title), ...(lines.length > 1 ? names : []), reading);
  const labels = [...x.map((tick) => label(tick, "x")), ...y.map((tick) => label(tick, "y"))];
  if (guide) labels.push(label(guide, guide[0] < 0.8 ? "level" : "level sr-chart-below"));
  const plot = element("div", { class: "sr-chart-plot" }, svg, ...labels);

  // The mark stands at `place`; what comes after `until` is not drawn; `values` stand beside the names of the lines.
  function show(place, read, { until = Infinity, values = [] } = {}) {
    lines.forEach(({ points }, index) => {
      const { line, rounds } = drawn[index];
      const known = points.filter(([right]) => right <= until);
      line.setAttribute("d", known.length > 1 ? `M${known.map(at).join("L")}` : "");
      const marked = dots || known.length === 1;
      rounds.setAttribute("d", marked ? known.map((point) => `M${at(point)}h0`).join("") : ""); // no length, but round ends
    });
    mark.setAttribute("d", `M${(1000 * place).toFixed(1)} 0V1000`);
    names.forEach((node, index) => (node.textContent = [lines[index].name, values[index]].filter(Boolean).join(" ")));
    reading.textContent = values.length > 0 ? "" : read;
    svg.setAttribute("aria-label", `${title}, curve: ${read}`);
  }

  return { figure: element("figure", { class: "sr-chart" }, caption, plot), show };
}

// Which of the values is nearest to the one wanted; of two, the earlier.
function nearest(values, wanted) {
  const distances = values.map((value) => Math.abs(value - wanted));
  return distances.indexOf(Math.min(...distances));
}

// Mouse, pen and fingers on a node that takes the focus: `go` is told of where they are pressed and moved.
function seekOn({ on, node, go }) {
  on(node, "pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault(); // no selection of text
    node.focus({ preventScroll: true });
    node.setPointerCapture(event.pointerId);
    go(event);
  });
  on(node, "pointermove", (event) => {
    if (node.hasPointerCapture(event.pointerId)) go(event);
  });
}

// Mouse, pen and fingers in the curves inside `root`: to the nearest of `marks()`.
function seekInCharts({ on, root, slider, marks, moveTo }) {
  let plot = null;
  const seek = (event) => {
    const box = plot.getBoundingClientRect();
    moveTo(nearest(marks(), (event.clientX - box.left) / box.width));
  };
  on(root, "pointerdown", (event) => {
    plot = event.target.closest(".sr-chart-plot");
    if (event.button !== 0 || !plot) return;
    event.preventDefault(); // no selection of text
    slider.focus({ preventScroll: true });
    root.setPointerCapture(event.pointerId);
    seek(event);
  });
  on(root, "pointermove", (event) => {
    if (plot && root.hasPointerCapture(event.pointerId)) seek(event);
  });
}

// JupyterLab listens on the document before the widget does, and there C copies the cell and arrows leave it. So the
// window is asked first: a plain letter, digit or arrow typed here goes no further, nor does Enter on a button.
function listenToKeys(on, root, takes) {
  on(
    window,
    "keydown",
    (event) => {
      if (!event.composedPath().includes(root) || event.ctrlKey || event.metaKey || event.altKey) return;
      const used = takes({ key: event.key, code: event.code, shiftKey: event.shiftKey, target: event.composedPath()[0] });
      if (used) event.preventDefault();
      const own = used || event.key.length === 1 || event.key in MOVES || (event.key === "Enter" && !event.shiftKey);
      if (own) event.stopPropagation();
    },
    { capture: true },
  );
}

// Draw at the next frame of the screen, once for many calls, and whenever the size changes.
function makeDrawing(on, draw) {
  let frame = 0;
  const redraw = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  };
  const resized = new ResizeObserver(redraw);
  const begin = (root) => {
    resized.observe(root);
    on(window, "resize", redraw); // also tells of another pixel ratio
    draw();
  };
  const close = () => {
    cancelAnimationFrame(frame);
    resized.disconnect();
  };
  return { redraw, begin, close };
}

const digitOf = (code) => Number(/^(?:Digit|Numpad)([1-9])$/.exec(code)?.[1]);


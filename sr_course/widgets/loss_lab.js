// A photograph, its distortion, and what losses say of it. Python measures; while it does, the latest question alone waits.

const PICTURE_WIDTH = 288; // CSS px at most
const PATIENCE = 10000; // ms without an answer before it is said
const TURNS = 0.05; // by an arrow key, in the triangle
const FRAME_STEP = 8; // pixels, by an arrow key
const REACH = 2; // powers of ten that a bar has on either side
const CORNERS = ["pixel", "feature", "adversarial"];
const LAB_KEYS = [
  ["← →", "in the triangle or on a picture with a frame: move the point or the frame (with ↑ ↓)"],
  ["P, F, A, M", "in the triangle: to a corner, or to the middle"],
  ["D", "descend, or stop"],
  ["Space", "play the descent"],
];

function render({ model, el }) {
  const listening = makeListening();
  const { on, follow } = listening;
  const { distortions, losses, features, size, side } = model.get("_options");
  const [width, height] = size;
  const mine = {}; // what the hand has set and Python has not answered yet
  let next = {}; // what was set since a question is on its way: the latest value of each
  let place = 0; // of the playback

  const known = (name) => (name in mine ? mine[name] : model.get(name));

  // --- questions: one is on its way, the latest wait, older ones are dropped

  function set(name, value) {
    mine[name] = value;
    redraw();
    if (talk.isAsking()) next[name] = value;
    else talk.send({ set: { [name]: value } });
  }

  const talk = makeTalk(model, PATIENCE, (words) => {
    next = {};
    for (const name of Object.keys(mine)) delete mine[name];
    note.textContent = words;
  });

  function answered() {
    const { heard, trouble } = model.get("_state");
    note.textContent = trouble;
    talk.answered(heard);
    if (!talk.isAsking()) {
      const later = next;
      next = {};
      for (const name of Object.keys(mine)) if (!(name in later)) delete mine[name];
      if (Object.keys(later).length > 0) talk.send({ set: later });
    }
    redraw();
  }

  // --- the distortion

  const buttons = distortions.map((name) => makeButton(on, name, `Distortion: ${name}`, () => set("distortion", name)));
  const slider = element("input", { type: "range", min: "0", max: "1", step: "0.01", "aria-label": "Strength of the distortion" });
  on(slider, "input", () => set("strength", Number(slider.value)));
  const strength = element("output", {});
  const error = element("span", { class: "sr-lab-error" });
  const strengthBar = element("div", { class: "sr-bar" }, element("label", { class: "sr-lab-slider" }, element("span", {}, "Strength"), slider, strength), error);

  // --- pictures

  const reference = makeFramed("Reference");
  const distorted = makeFramed("Distorted");
  const map = makePicture({ width: side, height: side }, PICTURE_WIDTH);
  const chooser = element("select", { "aria-label": "Loss whose gradient is mapped" }, ...losses.map(([name, words]) => element("option", { value: name }, words)));
  on(chooser, "change", () => set("loss", chooser.value));
  map.caption.append("Gradient of ", chooser);
  map.figure.append(element("p", { class: "sr-lab-key" }, swatch("#d55e00"), "wants it darker ", swatch("#0072b2"), "lighter"));

  function swatch(colour) {
    const node = element("i", {});
    node.style.background = colour;
    return node;
  }

  function makeFramed(name) {
    const { figure, caption, canvas } = makePicture({ width, height }, PICTURE_WIDTH);
    caption.append(element("strong", {}, name));
    const frame = element("div", { class: "sr-lab-frame" });
    const box = element("div", { class: "sr-lab-framed", tabindex: "0", role: "group", "aria-label": `${name}: the frame, moved by arrow keys` }, canvas, frame);
    figure.append(box);
    seekOn({ on, node: box, go: (event) => toPointer(event, box) });
    return { figure, canvas, frame, box };
  }

  function toPointer(event, box) {
    const { left, top, width: wide } = box.getBoundingClientRect();
    const times = width / wide;
    moveFrame(Math.round((event.clientX - left) * times - side / 2), Math.round((event.clientY - top) * times - side / 2));
  }

  function moveFrame(left, top) {
    const value = [clamp(left, 0, width - side), clamp(top, 0, height - side)];
    if (value.join() !== known("frame").join()) set("frame", value);
  }

  // --- bars

  const bars = losses.slice(0, model.get("_state").bars.length).map(([, words]) => {
    const bar = element("div", { class: "sr-lab-bar" }, element("i", {}));
    const says = element("span", {});
    return { bar, says, row: element("div", { class: "sr-lab-row" }, element("span", {}, words), bar, says) };
  });
  const legend = element("div", { class: "sr-lab-row sr-lab-legend" }, element("span", {}, `inside the frame, ${side}×${side}`), element("div", {}, element("span", {}, "better ←"), element("span", {}, "bicubic ×4"), element("span", {}, "→ worse")), element("span", {}));

  // --- the triangle

  const svg = shape("svg", { viewBox: "-30 -14 160 122", class: "sr-lab-triangle", tabindex: "0", role: "slider", "aria-label": "Mixture of pixel, feature and adversarial loss", "aria-valuemin": "0", "aria-valuemax": "100" });
  const text = (x, y, words, anchor) => {
    const node = shape("text", { x, y, "text-anchor": anchor });
    node.textContent = words;
    return node;
  };
  const knob = shape("circle", { r: "5", class: "sr-lab-knob" });
  svg.append(shape("path", { d: "M0 86.6L100 86.6L50 0Z", class: "sr-lab-sides" }), text(0, 102, "pixel", "middle"), text(100, 102, "feature", "middle"), text(50, -5, "adversarial", "middle"), knob);
  const mixture = element("output", { class: "sr-lab-mixture" });
  seekOn({ on, node: svg, go: mixAt });

  function mixAt(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    mix(at.x / 100, 1 - at.y / 86.6);
  }

  // From a point of the triangle, 0 to 1 across and up; one outside goes to its edge.
  function mix(across, up) {
    const raw = [1 - up - (across - up / 2), across - up / 2, up].map((weight) => Math.max(weight, 0));
    const sum = raw[0] + raw[1] + raw[2];
    weigh(raw.map((weight) => weight / sum));
  }

  function weigh(weights) {
    const pixel = Math.round(100 * weights[0]);
    const feature = Math.min(Math.round(100 * weights[1]), 100 - pixel);
    const value = [pixel, feature, 100 - pixel - feature].map((share) => share / 100);
    if (value.join() !== known("weights").join()) set("weights", value);
  }

  const pointOf = ([, feature, adversarial]) => [feature + adversarial / 2, adversarial];
  const layers = features.map((name) => makeButton(on, name, `Feature: VGG ${name}`, () => set("feature", name)));
  const starts = ["bicubic", "distorted"].map((name) => makeButton(on, name, `Start from the ${name} picture`, () => set("start", name)));
  const descender = makeButton(on, "Descend", "Descend", () => descendOrStop());
  const bar = element("progress", { max: "1", value: "0", "aria-label": "Progress of the descent" });
  const told = element("span", { role: "status" });

  function descendOrStop() {
    talk.send({ do: model.get("_progress").running ? "stop" : "descend" });
  }

  // --- the playback

  const moments = () => model.get("_moments");
  const begun = makePicture({ width: side, height: side }, PICTURE_WIDTH);
  const moving = makePicture({ width: side, height: side }, PICTURE_WIDTH);
  const truth = makePicture({ width: side, height: side }, PICTURE_WIDTH);
  truth.caption.append("Truth");
  moving.figure.classList.add("sr-result");
  const player = makePlayer({ on, count: () => Math.max(1, moments().length), place: () => place, go: (index) => ((place = index), redraw()), redraw: () => redraw() });
  const playback = element("div", { class: "sr-lab-playback" }, player.bar, element("div", { class: "sr-pictures" }, begun.figure, moving.figure, truth.figure));

  const note = element("p", { class: "sr-note", role: "status" });
  const root = element(
    "div",
    { class: "sr-view sr-lab", role: "group", "aria-label": "The loss laboratory" },
    element("div", { class: "sr-bar" }, makeGroup("Distortion", buttons)),
    strengthBar,
    element("div", { class: "sr-pictures" }, reference.figure, distorted.figure, map.figure),
    element("div", { class: "sr-lab-bars" }, legend, ...bars.map(({ row }) => row)),
    element(
      "div",
      { class: "sr-lab-descent" },
      element("div", { class: "sr-lab-mix" }, svg, mixture),
      element(
        "div",
        {},
        element("p", {}, "Descend: move the pixels of the frame to where the mixture is small. Weights are pulls at the start. The adversary is a small discriminator that learns during the descent, from other photographs."),
        element("div", { class: "sr-bar" }, makeGroup("Feature", layers), makeGroup("Start", starts)),
        element("div", { class: "sr-bar" }, descender, bar, told),
      ),
    ),
    playback,
    note,
    makeHelp(LAB_KEYS),
  );
  el.append(root);

  // --- drawing

  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  const loaded = {}; // by the name of the trait
  let loads = 0; // so that no two are of one name on a canvas

  // The picture that came last is shown; one that is overtaken while it is decoded is dropped.
  function load(name) {
    const bytes = model.get(name);
    if (bytes.byteLength === 0) return;
    loaded[name]?.close();
    loads += 1;
    loaded[name] = { number: loads, ...loadSheets([bytes], redraw, (words) => (note.textContent = words)) };
  }

  function show(canvas, name, cell) {
    if (name in loaded) paint(canvas, loaded[name].sheets[0], cell, String(loaded[name].number));
  }

  function draw() {
    const state = model.get("_state");
    press(buttons, distortions.indexOf(known("distortion")));
    slider.value = String(known("strength"));
    strength.textContent = known("strength").toFixed(2);
    error.textContent = state.error;
    const whole = { left: 0, top: 0, width, height };
    show(reference.canvas, "_reference", whole);
    show(distorted.canvas, "_picture", whole);
    reference.canvas.setAttribute("aria-label", "The reference");
    distorted.canvas.setAttribute("aria-label", `With ${known("distortion")}: ${state.error}`);
    const [left, top] = known("frame");
    for (const { frame } of [reference, distorted]) {
      Object.assign(frame.style, { left: `${(100 * left) / width}%`, top: `${(100 * top) / height}%`, width: `${(100 * side) / width}%`, height: `${(100 * side) / height}%` });
    }
    chooser.value = known("loss");
    const inside = { left: 0, top: 0, width: side, height: side };
    show(map.canvas, "_map", inside);
    map.canvas.setAttribute("aria-label", state.map);
    map.canvas.classList.toggle("sr-lab-old", !state.mapped);
    state.bars.forEach((one, index) => drawBar(bars[index], one));
    drawMixture(known("weights"));
    press(layers, features.indexOf(known("feature")));
    press(starts, ["bicubic", "distorted"].indexOf(known("start")));
    drawDescent();
  }

  function drawBar({ bar: node, says, row }, one) {
    const length = one.ratio === null ? 0 : clamp(Math.log10(Math.max(one.ratio, 1e-9)) / REACH, -1, 1);
    node.firstChild.style.left = `${50 + 50 * Math.min(length, 0)}%`;
    node.firstChild.style.width = `${50 * Math.abs(length)}%`;
    node.classList.toggle("sr-lab-worse", length > 0);
    row.classList.toggle("sr-lab-old", !one.known);
    says.textContent = one.says;
  }

  function drawMixture(weights) {
    const [across, up] = pointOf(weights);
    knob.setAttribute("cx", String(100 * across));
    knob.setAttribute("cy", String(86.6 * (1 - up)));
    const words = CORNERS.map((name, index) => `${name} ${Math.round(100 * weights[index])} %`).join(", ");
    mixture.textContent = words;
    svg.setAttribute("aria-valuetext", words);
    svg.setAttribute("aria-valuenow", String(Math.round(100 * weights[0])));
  }

  function drawDescent() {
    const { running, step, steps } = model.get("_progress");
    descender.textContent = running ? "Stop" : "Descend";
    relabel(descender, running ? "Stop the descent (D)" : "Descend (D)");
    bar.hidden = !running;
    bar.value = step / steps;
    told.textContent = running ? `step ${step} of ${steps}` : "";
    const all = moments();
    playback.hidden = all.length === 0;
    if (all.length === 0) return;
    place = Math.min(place, all.length - 1);
    const now = all[place];
    player.draw(`step ${now.step}: ${now.psnr}, loss ${now.loss}`, `step ${now.step}, ${now.psnr}`);
    begun.caption.textContent = `Start: ${now.start}, ${all[0].psnr}`;
    moving.caption.textContent = `After ${now.step} steps: ${now.psnr}`;
    const cell = (index) => ({ left: index * side, top: 0, width: side, height: side });
    show(begun.canvas, "_replay", cell(0));
    show(moving.canvas, "_replay", cell(place));
    show(truth.canvas, "_replay", cell(all.length));
    for (const [picture, words] of [[begun, "The start"], [moving, `After ${now.step} steps`], [truth, "The truth"]]) picture.canvas.setAttribute("aria-label", words);
  }

  // --- keyboard, start and end

  listenToKeys(on, root, ({ key, target }) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    if (target === svg) {
      const corner = { p: [1, 0, 0], f: [0, 1, 0], a: [0, 0, 1], m: [1 / 3, 1 / 3, 1 / 3] }[key.toLowerCase()];
      const [across, up] = pointOf(known("weights"));
      if (steps) mix(across + TURNS * steps[0], up + TURNS * steps[1]);
      else if (corner) weigh(corner);
      else if (key.toLowerCase() === "d") descendOrStop();
      else return false;
      return true;
    }
    if (target === reference.box || target === distorted.box) {
      const [left, top] = known("frame");
      if (!steps) return false;
      moveFrame(left + FRAME_STEP * steps[0], top - FRAME_STEP * steps[1]);
      return true;
    }
    if (target.closest("select") || target === slider) return false; // which take the keys themselves
    if (key.toLowerCase() === "d") descendOrStop();
    else if (moments().length > 0 && target !== slider) return player.takes({ key, target });
    else return false;
    return true;
  });

  for (const name of ["_reference", "_picture", "_map", "_replay"]) {
    follow(model, `change:${name}`, () => load(name));
    load(name);
  }
  follow(model, "change:_state", answered);
  follow(model, "change:_progress", redraw);
  follow(model, "change:_moments", () => player.moveTo(0));
  drawing.begin(root);

  const forget = () => {
    for (const one of Object.values(loaded)) one.close();
  };
  return makeEnd(root, talk, player, drawing, listening, { close: forget });
}

export default { render };

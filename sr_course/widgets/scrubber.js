// A training run to move through: pictures, filters and curves at each of its snapshots. What it shares is in frame.js.

const PICTURE_SIDE = 288; // CSS px at most
const FILTERS_SIDE = 330;
const STATE = ["index", "sample", "change"];
const BICUBIC = 0; // cells of a sample's sheet; the results of the snapshots follow
const TRUTH = 1;
const RESULTS = 2;
const HELP = [...MOVING_KEYS, ["1 … 9", "choose the picture"], ["C", "filters, or what has changed in them"]];

const cellOf = ({ width, height, columns }, cell) => ({
  left: (cell % columns) * width,
  top: Math.floor(cell / columns) * height,
  width,
  height,
});

function render({ model, el }) {
  const listening = makeListening();
  const { on } = listening;
  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  const [name, steps, samples, filters, charts, marks] = ["_name", "_steps", "_samples", "_filters", "_charts", "_marks"].map((key) => model.get(key));
  const following = makeState(model, STATE, redraw);
  const { state, change } = following;

  // --- what is on the page

  const player = makePlayer({
    on,
    count: () => steps.length,
    place: () => state.index,
    go: (index) => change({ index }),
    redraw,
  });
  const choices = samples.map((_, index) =>
    makeButton(on, String(index + 1), `Picture ${index + 1}`, () => change({ sample: index })),
  );
  const views = [["weights", false], [`change since step ${written(steps[0])}`, true]].slice(0, filters.length).map(([text, value]) =>
    makeButton(on, text, `Filters: ${text} (C)`, () => change({ change: value })),
  );

  const [bicubic, result, truth] = [0, 1, 2].map(() => makePicture(samples[0], PICTURE_SIDE));
  result.figure.classList.add("sr-result");
  truth.caption.append(element("strong", {}, "Truth"));
  const kernels = filters.length > 0 ? makePicture(filters[0], FILTERS_SIDE) : null;
  const plots = charts.map(makeChart);
  const scale = element("div", { class: "sr-scrub-scale", "aria-hidden": "true" }, element("span"), element("i"), element("span"));
  const lower = element("div", { class: "sr-scrub-lower" });
  if (kernels) {
    kernels.figure.append(scale);
    kernels.canvas.classList.add("sr-scrub-filters");
    lower.append(kernels.figure);
  }
  lower.append(element("div", { class: "sr-scrub-charts" }, ...plots.map((plot) => plot.figure)));

  const { note, say } = makeNote(model.get("_note"));
  const pictures = element("div", { class: "sr-pictures" }, bicubic.figure, result.figure, truth.figure);
  const root = element(
    "div",
    { class: "sr-view sr-scrub", role: "group", "aria-label": `Training of ${name}, ${steps.length} snapshots` },
    player.bar,
    element("div", { class: "sr-bar" }, makeGroup("Picture", choices), makeGroup("Filters", views)),
    pictures,
    lower,
    makeHelp(HELP),
    note,
  );
  el.append(root);

  // --- drawing

  function draw() {
    const { index, sample } = state;
    const step = written(steps[index]);
    const { bicubic: start, psnr } = samples[sample];
    player.draw(`step ${step} (${index + 1} of ${steps.length})`, `step ${step}, snapshot ${index + 1} of ${steps.length}, ${psnr[index]}`);
    press(choices, sample);
    press(views, Number(state.change));

    bicubic.caption.replaceChildren(element("strong", {}, "Bicubic"), ` ${start}`);
    result.caption.replaceChildren(element("strong", {}, `Step ${step}`), ` ${psnr[index]}`);
    bicubic.canvas.setAttribute("aria-label", `Picture ${sample + 1} enlarged by bicubic, ${start}`);
    result.canvas.setAttribute("aria-label", `Picture ${sample + 1} enlarged by the network at step ${step}, ${psnr[index]}`);
    truth.canvas.setAttribute("aria-label", `Picture ${sample + 1}, the truth`);
    const cells = [[bicubic, BICUBIC], [result, RESULTS + index], [truth, TRUTH]];
    for (const [{ canvas }, cell] of cells) {
      canvas.style.aspectRatio = `${samples[sample].width} / ${samples[sample].height}`;
      paint(canvas, sheets[sample], cellOf(samples[sample], cell), sample);
    }
    if (kernels) drawFilters(index, step);
    plots.forEach(({ show }, at) => show(marks[index], charts[at].readings[index]));
  }

  function drawFilters(index, step) {
    const which = Number(state.change);
    const { title, reach } = filters[which];
    kernels.caption.textContent = title;
    kernels.canvas.setAttribute("aria-label", `${title}, at step ${step}; from -${reach} in blue over white to ${reach} in orange`);
    scale.firstChild.textContent = `−${reach}`;
    scale.lastChild.textContent = `+${reach}`;
    paint(kernels.canvas, sheets[samples.length + which], cellOf(filters[which], index), which);
  }

  // --- mouse and keyboard

  seekInCharts({ on, root: lower, slider: player.slider, marks: () => marks, moveTo: player.moveTo });

  listenToKeys(on, root, (pressed) => {
    const { key, code } = pressed;
    const digit = digitOf(code);
    if (player.takes(pressed)) return true;
    if ((key === "c" || key === "C") && views.length > 1) change({ change: !state.change });
    else if (digit && samples[digit - 1]) change({ sample: digit - 1 });
    else return false;
    return true;
  });

  // --- start and end

  const loaded = loadSheets(model.get("_sheets"), redraw, say);
  const { sheets } = loaded;
  drawing.begin(root);

  return makeEnd(root, player, following, drawing, listening, loaded);
}

export default { render };

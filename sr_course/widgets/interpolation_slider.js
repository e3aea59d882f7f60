// The way between two networks: weights blended, and pictures blended. What it shares with other widgets is in frame.js.

const PICTURE_SIDE = 288; // CSS px at most
const BLEND_KEYS = [
  ["← →", "one position back or on (Page: five, Home, End); or drag in the curves"],
  ...MOVING_KEYS.slice(1),
];

function render({ model, el }) {
  const listening = makeListening();
  const { on } = listening;
  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  const [names, alphas, ways, charts, truthCell, cells] = ["_names", "_alphas", "_ways", "_charts", "_truth", "_cells"].map((key) => model.get(key));
  const following = makeState(model, ["index"], redraw);
  const { state, change } = following;
  const marks = alphas.map((_, index) => index / (alphas.length - 1));

  const player = makePlayer({
    on,
    count: () => alphas.length,
    place: () => state.index,
    go: (index) => change({ index }),
    redraw,
    label: `Share of ${names[1]}`,
  });
  player.slider.before(element("strong", {}, names[0])); // the ends of the slider
  player.slider.after(element("strong", {}, names[1]));
  const first = cellIn(cells, truthCell);
  const blends = ways.map(({ name }) => {
    const picture = makePicture(first, PICTURE_SIDE);
    const says = element("p", { class: "sr-blend-says" });
    picture.caption.append(element("strong", {}, name[0].toUpperCase() + name.slice(1)));
    picture.figure.append(says);
    return { ...picture, says };
  });
  blends[0].figure.classList.add("sr-result");
  const truth = makePicture(first, PICTURE_SIDE);
  truth.caption.append(element("strong", {}, "Truth"));
  truth.canvas.setAttribute("aria-label", "The truth");
  const plots = charts.map(makeChart);
  const lower = element("div", { class: "sr-blend-charts" }, ...plots.map((plot) => plot.figure));
  const { note, say } = makeNote(`Computed ahead at ${alphas.length} positions, with PSNR and distance on this picture.`);
  const root = element(
    "div",
    { class: "sr-view sr-blend", role: "group", "aria-label": `Between ${names[0]} and ${names[1]}` },
    player.bar,
    element("div", { class: "sr-pictures" }, ...blends.map(({ figure }) => figure), truth.figure),
    lower,
    makeHelp(BLEND_KEYS),
    note,
  );
  el.append(root);

  function draw() {
    const { index } = state;
    const alpha = alphas[index].toFixed(2);
    player.draw(`α = ${alpha} (${index + 1} of ${alphas.length})`, `${alpha} of ${names[1]}, ${ways[0].name} ${ways[0].psnr[index]}`);
    ways.forEach(({ name, cells: made, says }, which) => {
      const { canvas, says: told } = blends[which];
      told.textContent = says[index];
      canvas.setAttribute("aria-label", `${name}, ${alpha} of ${names[1]}: ${says[index]}`);
      paint(canvas, sheets[0], cellIn(cells, made[index]), "");
    });
    paint(truth.canvas, sheets[0], first, "");
    plots.forEach(({ show }, at) => show(marks[index], charts[at].readings[index], { values: charts[at].values[index] }));
  }

  seekInCharts({ on, root: lower, slider: player.slider, marks: () => marks, moveTo: player.moveTo });
  listenToKeys(on, root, (pressed) => player.takes(pressed));

  const loaded = loadSheets([model.get("_sprite")], redraw, say);
  const { sheets } = loaded;
  drawing.begin(root);

  return makeEnd(root, player, following, drawing, listening, loaded);
}

export default { render };

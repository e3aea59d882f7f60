// A table of runs with one tweak off each: predicted first, then looked at. What it shares with others is in frame.js.

const PICTURE_SIDE = 288; // CSS px at most
const STATE = ["rows", "step", "sample", "predictions", "revealed"];
const PREDICTIONS = ["better", "worse"];
const COLOURS = ["#0072b2", "#d55e00"]; // of the first and the second row that are looked at, as in Python's still
const MATRIX_KEYS = [
  ["Tab, Enter", "predict; look at a row, or at two to compare"],
  ["R", "show the numbers, or hide them"],
  ...MOVING_KEYS,
  ["1 … 9", "choose the picture"],
];

function render({ model, el }) {
  const listening = makeListening();
  const { on } = listening;
  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  const [switches, metrics, predicted, rows, full, samples, steps, marks, charts, cells] = [
    "_switches", "_metrics", "_predict", "_rows", "_full", "_samples", "_steps", "_marks", "_charts", "_cells",
  ].map((key) => model.get(key));
  const following = makeState(model, STATE, redraw);
  const { state, change } = following;
  let charted = ""; // which lines are on the page
  let plots = [];

  // --- the table

  const lines = rows.map((row, index) => {
    const chooser = makeButton(on, row.name, `Look at ${row.name}`, () => choose(index));
    const guesses = PREDICTIONS.map((guess) => makeButton(on, guess, `${row.name}: ${guess}`, () => predict(row.name, guess)));
    const verdict = element("span", { class: "sr-abl-verdict" });
    const guessing = element("td", {});
    if (index !== full) guessing.append(element("div", { class: "sr-abl-guess", role: "group", "aria-label": `Your prediction for ${row.name}` }, ...guesses), verdict);
    const figures = metrics.map(() => element("td", { class: "sr-abl-figure" }, "?"));
    const onOff = row.on.map((is) => element("td", { class: is ? "sr-abl-on" : "sr-abl-off" }, is ? "on" : "off"));
    const node = element("tr", {}, element("th", { scope: "row" }, chooser), ...onOff, guessing, ...figures);
    return { node, chooser, guesses, verdict, figures };
  });
  const heads = [
    ...["Run", ...switches, "Prediction"].map((title) => element("th", { scope: "col" }, title)),
    ...metrics.map((title) => element("th", { scope: "col", class: "sr-abl-figure" }, title)),
  ];
  const table = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...lines.map(({ node }) => node)),
  );
  const scroller = element("div", { class: "sr-abl-scroller", role: "region", "aria-label": "Runs and switches", tabindex: "0" }, table);
  const question = element("p", { class: "sr-abl-question", role: "status" });
  const reveal = makeButton(on, "", "", () => change({ revealed: !state.revealed }));

  // --- pictures and curves

  const player = makePlayer({ on, count: () => steps.length, place: () => nearest(steps, state.step), go: (index) => change({ step: steps[index] }), redraw });
  const choices = samples.map((_, index) => makeButton(on, String(index + 1), `Picture ${index + 1}`, () => change({ sample: index })));
  const first = cellIn(cells, samples[0].truth);
  const [left, middle, truth] = [0, 1, 2].map(() => makePicture(first, PICTURE_SIDE));
  truth.caption.append(element("strong", {}, "Truth"));
  const plotted = element("div", { class: "sr-abl-charts" });
  const look = element(
    "div",
    {},
    element("div", { class: "sr-bar" }, makeGroup("Picture", choices)),
    player.bar,
    element("div", { class: "sr-pictures" }, left.figure, middle.figure, truth.figure),
    plotted,
  );
  const { note, say } = makeNote(model.get("_note"));
  const root = element(
    "div",
    { class: "sr-view sr-abl", role: "group", "aria-label": `${rows.length} runs, one tweak off each` },
    question,
    scroller,
    element("div", { class: "sr-bar" }, reveal),
    look,
    makeHelp(MATRIX_KEYS),
    note,
  );
  el.append(root);

  // A third row takes the place of the one chosen before the last.
  function choose(index) {
    const others = state.rows.filter((row) => row !== index);
    if (others.length < state.rows.length) change({ rows: others.length > 0 ? others : state.rows });
    else change({ rows: [...state.rows.slice(-1), index] });
  }

  function predict(name, guess) {
    const { [name]: before, ...others } = state.predictions;
    change({ predictions: before === guess ? others : { ...others, [name]: guess } });
  }

  // --- drawing

  function draw() {
    drawTable();
    look.hidden = !state.revealed;
    if (!state.revealed) return;
    press(choices, state.sample);
    drawPictures();
    drawCharts();
  }

  function drawTable() {
    const asked = rows.filter(({ verdict }) => verdict);
    const right = asked.filter(({ name, verdict }) => state.predictions[name] === verdict).length;
    const given = asked.filter(({ name }) => state.predictions[name]).length;
    const said = state.revealed
      ? `${right} of ${asked.length} predicted rightly in ${metrics[predicted]}.`
      : `Is each run better or worse than ${rows[full].name} in ${metrics[predicted]}? Predict, then show the numbers: ${given} of ${asked.length} predicted.`;
    if (question.textContent !== said) question.textContent = said; // a screen reader says what is new
    reveal.textContent = state.revealed ? "Hide the numbers" : "Show the numbers";
    relabel(reveal, `${reveal.textContent} (R)`);
    reveal.setAttribute("aria-expanded", String(state.revealed));
    lines.forEach(({ node, chooser, guesses, verdict, figures }, index) => {
      const row = rows[index];
      const place = state.rows.indexOf(index);
      chooser.setAttribute("aria-pressed", String(place >= 0));
      node.style.setProperty("--sr-colour", COLOURS[place] ?? "transparent");
      node.classList.toggle("sr-abl-chosen", place >= 0);
      const guess = state.predictions[row.name];
      press(guesses, PREDICTIONS.indexOf(guess));
      for (const button of guesses) button.disabled = state.revealed; // it would be no prediction
      const is = { better: "it is better", worse: "it is worse", same: "no difference", "": "" }[row.verdict];
      verdict.textContent = !state.revealed ? "" : !guess ? is : guess === row.verdict ? `✓ ${is}` : `✗ ${is}`;
      figures.forEach((cell, at) => (cell.textContent = state.revealed ? row.figures[at] : "?"));
    });
  }

  function drawPictures() {
    const place = nearest(steps, state.step);
    const step = written(steps[place]);
    player.draw(`step ${step} (${place + 1} of ${steps.length})`, `step ${step}, snapshot ${place + 1} of ${steps.length}`);
    const chosen = state.rows.map((index) => {
      const row = rows[index];
      const at = nearest(row.steps, state.step);
      return { name: row.name, says: `step ${written(row.steps[at])}, ${row.psnr[state.sample][at]}`, cell: row.results[state.sample][at] };
    });
    const { bicubic, truth: right } = samples[state.sample];
    middle.figure.classList.toggle("sr-result", chosen.length === 1); // two stand in their order
    if (chosen.length === 1) chosen.unshift({ name: "Bicubic", says: "", cell: bicubic });
    chosen.forEach(({ name, says, cell }, at) => {
      const { caption, canvas } = [left, middle][at];
      caption.replaceChildren(element("strong", {}, name), ` ${says}`);
      canvas.setAttribute("aria-label", `Picture ${state.sample + 1}, ${name}${says && `, ${says}`}`);
      show(canvas, cell);
    });
    truth.canvas.setAttribute("aria-label", `Picture ${state.sample + 1}, the truth`);
    show(truth.canvas, right);
  }

  function show(canvas, which) {
    const cell = cellIn(cells, which);
    canvas.style.aspectRatio = `${cell.width} / ${cell.height}`;
    paint(canvas, sheets[0], cell, "");
  }

  function drawCharts() {
    const names = state.rows.map((index) => rows[index].name);
    const wanted = state.rows.join();
    if (wanted !== charted) {
      charted = wanted;
      plots = charts.flatMap((chart, at) => {
        const found = names
          .map((name, slot) => ({ ...chart.lines.find((line) => line.name === name), colour: COLOURS[slot], row: state.rows[slot] }))
          .filter(({ points }) => points);
        return found.length > 0 ? [{ ...makeChart({ ...chart, lines: found }), at, found }] : [];
      });
      plotted.replaceChildren(...plots.map(({ figure }) => figure));
    }
    const place = nearest(steps, state.step);
    plots.forEach(({ show: drawTo, at, found }) => {
      const values = found.map(({ row }) => charts[at].readings[row][place]);
      const read = found.map(({ name }, index) => `${name} ${values[index]}`).join(", ");
      drawTo(marks[place], found.length > 1 ? read : values[0], { until: marks[place], values: found.length > 1 ? values : [] });
    });
  }

  // --- mouse and keyboard

  seekInCharts({ on, root: plotted, slider: player.slider, marks: () => marks, moveTo: player.moveTo });

  listenToKeys(on, root, (pressed) => {
    const { key, code, target } = pressed;
    const digit = digitOf(code);
    if (key === "r" || key === "R") change({ revealed: !state.revealed });
    else if (target === scroller || !state.revealed) return false; // arrows scroll the table
    else if (digit && choices[digit - 1]) change({ sample: digit - 1 });
    else return player.takes(pressed);
    return true;
  });

  // --- start and end

  const loaded = loadSheets([model.get("_sprite")], redraw, say);
  const { sheets } = loaded;
  drawing.begin(root);

  return makeEnd(root, player, following, drawing, listening, loaded);
}

export default { render };

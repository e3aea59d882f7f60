// Adversarial runs under neutral names, to replay and to diagnose. What it shares with other widgets is in frame.js.

const PICTURE_SIDE = 288; // CSS px at most
const STATE = ["run", "step", "sample", "common", "answers", "revealed"];
const SCALES = [["own", false], ["one for all runs", true]];
const HELP = [
  ...MOVING_KEYS,
  ["A, B, …", "choose the run"],
  ["1 … 9", "choose the picture"],
  ["Y", "scale of the curves: of this run, or one for all runs"],
  ["R", "show the answer, or hide it"],
];

function render({ model, el }) {
  const listening = makeListening();
  const { on } = listening;
  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  const [runs, cells, diagnoses] = ["_runs", "_cells", "_diagnoses"].map((key) => model.get(key));
  const following = makeState(model, STATE, redraw);
  const { state, change } = following;
  const picks = {}; // what is chosen for each run, checked or not
  let checked = {}; // the answers that `picks` has taken over
  let charted = ""; // which charts are on the page
  let plots = [];
  let unchosen = ""; // the run that was to be checked without a choice

  const chosen = () => runs[state.run];
  const marks = () => chosen().marks;

  const place = () => nearest(chosen().steps, state.step);

  // --- what is on the page

  const player = makePlayer({
    on,
    count: () => chosen().steps.length,
    place,
    go: (index) => change({ step: chosen().steps[index] }),
    redraw,
  });
  const letters = runs.map(({ letter }, index) => makeButton(on, letter, `Run ${letter}`, () => change({ run: index })));
  const choices = runs[0].samples.map((_, index) =>
    makeButton(on, String(index + 1), `Picture ${index + 1}`, () => change({ sample: index })),
  );
  const scales = SCALES.slice(0, runs.length).map(([text, value]) =>
    makeButton(on, text, `Scale of the curves: ${text} (Y)`, () => change({ common: value })),
  );

  const cellOf = (index) => cellIn(cells, index);
  const first = cellOf(runs[0].samples[0].truth);
  const [bicubic, result, truth] = [0, 1, 2].map(() => makePicture(first, PICTURE_SIDE));
  result.figure.classList.add("sr-result");
  truth.caption.append(element("strong", {}, "Truth"));
  const pictures = element("div", { class: "sr-pictures" }, bicubic.figure, result.figure, truth.figure);
  const charts = element("div", { class: "sr-gan-charts" });
  const missing = element("p", { class: "sr-note" });

  const radios = diagnoses.map((diagnosis) => {
    const node = element("input", { type: "radio", name: "diagnosis", value: diagnosis });
    on(node, "change", () => {
      picks[chosen().letter] = diagnosis;
      redraw();
    });
    return node;
  });
  const legend = element("legend");
  const check = element("button", { type: "submit" }, "Check");
  const reveal = makeButton(on, "", "", () => toggleAnswer());
  const labels = radios.map((node) => element("label", {}, node, ` ${node.value}`));
  const form = element(
    "form",
    { class: "sr-gan-form" }, // a form of its own, so that the choices of two views are not one
    element("fieldset", {}, legend, ...labels),
    element("div", { class: "sr-bar" }, check, reveal, element("span", { class: "sr-gan-score" })),
  );
  const score = form.querySelector(".sr-gan-score");
  const verdict = element("p", { class: "sr-gan-verdict", role: "status" });
  const answer = element("div", { class: "sr-gan-answer", role: "region", hidden: "" });
  on(form, "submit", (event) => {
    event.preventDefault();
    const { letter } = chosen();
    unchosen = picks[letter] ? "" : letter;
    if (picks[letter]) change({ answers: { ...state.answers, [letter]: picks[letter] } });
    else redraw();
  });

  const { note, say } = makeNote(model.get("_note"));
  const root = element(
    "div",
    { class: "sr-view sr-gan", role: "group", "aria-label": `${runs.length} adversarial training runs to diagnose` },
    element("div", { class: "sr-bar" }, makeGroup("Run", letters), makeGroup("Picture", choices), makeGroup("Scale", scales)),
    player.bar,
    pictures,
    charts,
    missing,
    form,
    verdict,
    answer,
    makeHelp(HELP),
    note,
  );
  el.append(root);

  function toggleAnswer() {
    const { letter } = chosen();
    const shown = state.revealed.includes(letter);
    change({ revealed: shown ? state.revealed.filter((one) => one !== letter) : [...state.revealed, letter] });
  }

  // --- drawing

  function draw() {
    press(letters, state.run);
    press(choices, state.sample);
    press(scales, Number(state.common));
    drawPictures();
    drawCharts();
    drawDiagnosis();
    drawAnswer();
  }

  function drawPictures() {
    const { letter, steps, samples } = chosen();
    const [index, sample] = [place(), samples[state.sample]];
    const [step, picture] = [written(steps[index]), `Picture ${state.sample + 1}`];
    player.draw(
      `run ${letter}, step ${step} (${index + 1} of ${steps.length})`,
      `run ${letter}, step ${step}, snapshot ${index + 1} of ${steps.length}, ${sample.psnr[index]}`,
    );
    bicubic.caption.replaceChildren(element("strong", {}, "Bicubic"), ` ${sample.start}`);
    result.caption.replaceChildren(element("strong", {}, `Step ${step}`), ` ${sample.psnr[index]}`);
    bicubic.canvas.setAttribute("aria-label", `${picture} enlarged by bicubic, ${sample.start}`);
    result.canvas.setAttribute("aria-label", `${picture} enlarged by run ${letter} at step ${step}, ${sample.psnr[index]}`);
    truth.canvas.setAttribute("aria-label", `${picture}, the truth`);
    for (const [{ canvas }, which] of [[bicubic, sample.bicubic], [result, sample.results[index]], [truth, sample.truth]]) {
      const cell = cellOf(which);
      canvas.style.aspectRatio = `${cell.width} / ${cell.height}`;
      paint(canvas, sheets[0], cell, "");
    }
  }

  function drawCharts() {
    const run = chosen();
    const wanted = `${state.run} ${state.common}`;
    if (wanted !== charted) {
      charted = wanted;
      plots = (state.common ? run.common : run.charts).map(makeChart);
      charts.replaceChildren(...plots.map((plot) => plot.figure));
      missing.textContent = run.missing;
      missing.hidden = !run.missing;
    }
    const index = place();
    const mark = run.marks[index];
    plots.forEach(({ show }, at) => show(mark, run.readings[at][index], { until: mark, values: run.values[at][index] }));
  }

  function drawDiagnosis() {
    const run = chosen();
    const { letter, diagnosis } = run;
    for (const one of runs) {
      if (state.answers[one.letter] === checked[one.letter]) continue;
      picks[one.letter] = state.answers[one.letter]; // also when Python gave it
    }
    checked = { ...state.answers };
    legend.textContent = `What is the diagnosis of run ${letter}?`;
    radios.forEach((node) => {
      node.checked = node.value === picks[letter];
    });
    const given = picks[letter] && picks[letter] === state.answers[letter];
    const right = given && picks[letter] === diagnosis;
    const said = right
      ? `✓ Right: ${diagnosis}. ${run.because}`
      : given
        ? `✗ Not yet: look at ${run.look_at}`
        : unchosen === letter && !picks[letter]
          ? "Choose a diagnosis first."
          : "";
    if (verdict.textContent !== said) verdict.textContent = said; // a screen reader says what is new
    verdict.classList.toggle("sr-gan-right", Boolean(right));
    const named = runs.filter((one) => state.answers[one.letter] === one.diagnosis).length;
    score.textContent = `${named} of ${runs.length} named rightly`;
  }

  function drawAnswer() {
    const { letter, name, diagnosis, because, alarms } = chosen();
    const shown = state.revealed.includes(letter);
    reveal.textContent = shown ? "Hide the answer" : "Show the answer";
    relabel(reveal, `${reveal.textContent} for run ${letter} (R)`);
    reveal.setAttribute("aria-expanded", String(shown));
    const now = shown ? letter : "";
    if (answer.dataset.shown === now) return; // the button that was just used stays, and keeps the keyboard
    if (answer.contains(root.getRootNode().activeElement)) reveal.focus({ preventScroll: true });
    answer.dataset.shown = now;
    answer.hidden = !shown;
    answer.setAttribute("aria-label", `The answer for run ${letter}`);
    const rows = alarms.map(({ step, illness, says }) => {
      const go = makeButton(on, `step ${written(step)}`, `To the snapshot nearest to step ${written(step)}`, () => change({ step }));
      return element("li", {}, go, " ", element("strong", {}, illness), `: ${says}`);
    });
    answer.replaceChildren(
      element("p", {}, `Run ${letter} is `, element("strong", {}, name), `: ${diagnosis}. ${because}`),
      element("p", {}, rows.length > 0 ? "Alarms in its log:" : "Its log holds no alarm."),
      ...(rows.length > 0 ? [element("ul", {}, ...rows)] : []),
    );
  }

  // --- mouse and keyboard

  seekInCharts({ on, root: charts, slider: player.slider, marks, moveTo: player.moveTo });

  listenToKeys(on, root, (pressed) => {
    const { key, code, target } = pressed;
    if (target.type === "radio" && (key in MOVES || key === " ")) return false; // which they take themselves
    if (player.takes(pressed)) return true;
    const digit = digitOf(code);
    const letter = runs.findIndex((one) => one.letter === key.toUpperCase());
    if (letter >= 0) change({ run: letter });
    else if (digit && choices[digit - 1]) change({ sample: digit - 1 });
    else if ((key === "y" || key === "Y") && scales.length > 1) change({ common: !state.common });
    else if (key === "r" || key === "R") toggleAnswer();
    else return false;
    return true;
  });

  // --- start and end

  const loaded = loadSheets([model.get("_sprite")], redraw, say);
  const { sheets } = loaded;
  drawing.begin(root);

  return makeEnd(root, player, following, drawing, listening, loaded);
}

export default { render };

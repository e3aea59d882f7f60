// Two pictures of one scene, and a choice between them. Python counts, keeps the answers, and knows the names.

const PICTURE_WIDTH = 432; // CSS px at most, for small pictures are enlarged by a whole factor
const PATIENCE = 5000; // ms without an answer before it is said
const CHOICE_KEYS = [
  ["← →", "choose the left or the right picture; or click it"],
  ["S", "skip this pair"],
  ["U", "take the last answer back"],
  ["T", "show or hide the truth"],
];

function render({ model, el }) {
  const listening = makeListening();
  const { on, follow } = listening;
  const sizes = model.get("_sizes");

  // --- what is on the page

  const question = element("strong", {}, model.get("_question"));
  const progress = element("span", { "aria-live": "polite" });
  const figures = ["left", "right", "truth"].map((side) => {
    const { figure, caption, canvas } = makePicture({ width: 1, height: 1 }, 1);
    const chooser = side === "truth" ? null : makeButton(on, side === "left" ? "← This one" : "This one →", `Choose the ${side} picture`, () => answer(side));
    caption.append(side === "left" ? "Left" : side === "right" ? "Right" : "Truth");
    if (chooser) {
      figure.append(chooser);
      canvas.classList.add("sr-blind-choosable");
      on(canvas, "click", () => answer(side));
    }
    return { side, figure, canvas, chooser };
  });
  const pictures = element("div", { class: "sr-blind-pictures" }, ...figures.map(({ figure }) => figure));
  const skipper = makeButton(on, "Skip", "Skip this pair (S)", () => answer("skip"));
  const undoer = makeButton(on, "Undo", "Take the last answer back (U)", () => talk.send({ do: "undo" }));
  const revealer = makeButton(on, "Truth", "Show or hide the truth (T)", () => toggleTruth());
  const finisher = makeButton(on, "Stop here", "Stop here and see the result", () => talk.send({ do: "finish" }));
  const results = element("div", { class: "sr-blind-results", role: "status" });
  const { note, say } = makeNote("", { role: "alert" });
  const root = element(
    "div",
    { class: "sr-view sr-blind", role: "group", "aria-label": "A choice between two pictures" },
    element("div", { class: "sr-bar" }, question, progress),
    pictures,
    results,
    element("div", { class: "sr-bar" }, skipper, undoer, revealer, finisher),
    note,
    makeHelp(CHOICE_KEYS),
  );
  el.append(root);

  // --- answers: Python takes them, and says what comes next

  const talk = makeTalk(model, PATIENCE, say);

  // With the place, so that two quick clicks are one answer.
  function answer(chosen) {
    const { done, place } = model.get("_state");
    if (!done) talk.send({ do: chosen, place });
  }

  function answered() {
    talk.answered();
    redraw();
  }

  function toggleTruth() {
    if (revealer.hidden) return;
    model.set("show_truth", !model.get("show_truth"));
    model.save_changes();
  }

  // --- drawing

  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  const loaded = loadPictures();

  // A pair without a truth has no file for it.
  function loadPictures() {
    const files = model.get("_pictures");
    const there = files.map((_, index) => index).filter((index) => files[index].byteLength > 0);
    const { sheets, close } = loadSheets(there.map((index) => files[index]), redraw, say);
    return { sheet: (index) => sheets[there.indexOf(index)], close };
  }

  function draw() {
    const focused = root.getRootNode().activeElement;
    const { place, count, done, scene, rates, verdict, before, note: told } = model.get("_state");
    const hasTruth = !done && model.get("_pictures")[3 * place + 2].byteLength > 0;
    const truthShown = hasTruth && model.get("show_truth");
    if (!talk.isAsking()) say(told);
    progress.textContent = done ? "" : `Pair ${place + 1} of ${count}`;
    pictures.hidden = done;
    pictures.style.setProperty("--sr-columns", truthShown ? 3 : 2);
    results.hidden = !done;
    for (const node of [skipper, finisher]) node.hidden = done;
    finisher.disabled = place === 0;
    undoer.disabled = place === 0 && !done;
    revealer.hidden = !hasTruth;
    revealer.setAttribute("aria-pressed", String(truthShown));
    drawResults(rates, verdict, before); // of nothing before the end: what was told before an undo is secret again
    if (!done) drawPair(place, scene, truthShown);
    if (root.contains(focused) && focused.offsetParent === null) undoer.focus({ preventScroll: true }); // it was hidden
  }

  function drawPair(place, scene, truthShown) {
    const [width, height] = sizes[place];
    const enlarge = Math.max(1, Math.floor(PICTURE_WIDTH / Math.max(width, height))); // whole, so that pixels stay square
    figures.forEach(({ side, figure, canvas }, index) => {
      figure.hidden = side === "truth" && !truthShown;
      figure.style.maxWidth = `${width * enlarge}px`;
      canvas.style.aspectRatio = `${width} / ${height}`;
      canvas.setAttribute("aria-label", side === "truth" ? `The truth: ${scene}` : `The picture on the ${side}: ${scene}`);
      if (!figure.hidden) paint(canvas, loaded.sheet(3 * place + index), { left: 0, top: 0, width, height }, String(place));
    });
  }

  function drawResults(rates, verdict, before) {
    const rows = rates.map(({ method, wins, count, low, high, says }) => {
      const bar = element("div", { class: "sr-blind-bar", role: "img", "aria-label": says });
      for (const [name, value] of [["rate", wins / count], ["low", low], ["high", high]]) bar.style.setProperty(`--sr-${name}`, value);
      bar.append(element("i", {}), element("b", {}));
      const numbers = `${Math.round((100 * wins) / count)} %, ${wins} of ${count} (interval ${Math.round(100 * low)} to ${Math.round(100 * high)} %)`;
      return element("div", { class: "sr-blind-row" }, element("strong", {}, method), bar, element("span", {}, numbers));
    });
    const words = [verdict, before].filter((text) => text).map((text) => element("p", {}, text));
    results.replaceChildren(...rows, ...words);
  }

  // --- keyboard, start and end

  listenToKeys(on, root, ({ key }) => {
    const letter = key.toLowerCase();
    if (key === "ArrowLeft" || key === "ArrowRight") answer(key === "ArrowLeft" ? "left" : "right");
    else if (letter === "s") answer("skip");
    else if (letter === "u") talk.send({ do: "undo" });
    else if (letter === "t") toggleTruth();
    else return false;
    return true;
  });

  follow(model, "change:_state", answered);
  follow(model, "change:show_truth", redraw);
  drawing.begin(root);

  return makeEnd(root, talk, drawing, listening, loaded);
}

export default { render };

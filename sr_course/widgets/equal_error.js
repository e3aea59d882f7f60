// A picture and its distortions of one squared error, to be sorted by eye. Python holds the names until they are asked for.

const TILE_WIDTH = 288; // CSS px at most
const PATIENCE = 8000; // ms without an answer before it is said: making the pictures of another error takes a second or two
const SORTING_KEYS = [
  ["← →", "move the picture that has the focus nearer or farther; or drag it"],
  ["Home, End", "move it to the nearest or the farthest end"],
  ["R", "show the reference in its place, and back"],
];

function render({ model, el }) {
  const listening = makeListening();
  const { on, follow } = listening;
  const [width, height] = model.get("_size");
  const levels = model.get("_levels");
  let state = model.get("_state");
  let order = state.order; // changed here at once, told to Python after each move
  let flipped = ""; // the letter in whose place the reference is seen
  let dragged = "";

  // --- what is on the page

  const slider = element("input", { type: "range", min: "0", max: String(levels.length - 1), step: "1", "aria-label": "Mean squared error" });
  on(slider, "change", () => chooseLevel(Number(slider.value)));
  on(slider, "input", () => (level.textContent = levels[Number(slider.value)]));
  const level = element("output", {});
  const revealer = makeButton(on, "Reveal", "Reveal the names and how the metrics sort", () => talk.send({ do: "reveal", level: state.level }));
  const bar = element("div", { class: "sr-bar" }, element("label", { class: "sr-equal-level" }, element("span", {}, "MSE of all"), slider, level), revealer);

  const truth = makePicture({ width, height }, TILE_WIDTH);
  truth.caption.append(element("strong", {}, "Reference"));
  truth.canvas.setAttribute("aria-label", `The reference: ${model.get("_scene")}`);
  truth.figure.classList.add("sr-equal-reference");
  const list = element("ol", { class: "sr-equal-list", "aria-label": "Your order, from the nearest to the farthest" });
  const table = element("div", { class: "sr-equal-table" }, truth.figure, list);
  table.style.setProperty("--sr-width", truth.figure.style.maxWidth); // all are as large: unlike factors would mislead
  const cards = new Map(); // by letter
  const told = element("div", { class: "sr-equal-told", role: "status" });
  const note = element("p", { class: "sr-note", role: "status" });
  const left = element("p", { class: "sr-note" });
  const spoken = element("span", { class: "sr-equal-spoken", "aria-live": "assertive" });
  const root = element(
    "div",
    { class: "sr-view sr-equal", role: "group", "aria-label": "Distortions of one squared error" },
    bar,
    element("p", { class: "sr-equal-task" }, "All have the same squared error. Which looks nearest to the reference? Put it first, and the farthest last."),
    table,
    told,
    left,
    note,
    spoken,
    makeHelp(SORTING_KEYS),
  );
  el.append(root);

  function makeCard(letter) {
    const { figure, caption, canvas } = makePicture({ width, height }, TILE_WIDTH);
    const name = element("strong", {});
    const nearer = makeButton(on, "◀", `Move ${letter} nearer`, () => move(letter, -1, nearer));
    const farther = makeButton(on, "▶", `Move ${letter} farther`, () => move(letter, 1, farther));
    caption.append(name);
    figure.append(element("div", { class: "sr-equal-moves" }, nearer, farther));
    const item = element("li", { tabindex: "0", "data-letter": letter }, figure);
    return { item, name, canvas, nearer, farther };
  }

  // --- order

  // What has the focus keeps it, for the card is put elsewhere in the page.
  function move(letter, by, focus) {
    moveTo(letter, clamp(order.indexOf(letter) + by, 0, order.length - 1), focus);
  }

  function moveTo(letter, place, focus) {
    if (state.revealed || order.indexOf(letter) === place) return;
    const rest = order.filter((one) => one !== letter);
    order = [...rest.slice(0, place), letter, ...rest.slice(place)];
    arrange();
    focus?.focus({ preventScroll: true });
    if (focus?.disabled) cards.get(letter).item.focus({ preventScroll: true });
    spoken.textContent = `${letter} is number ${place + 1} of ${order.length}`;
    if (!dragged) talk.send({ do: "order", order, level: state.level });
  }

  function arrange() {
    const nodes = order.map((letter) => cards.get(letter).item);
    if (nodes.some((node, index) => list.children[index] !== node)) list.replaceChildren(...nodes);
    order.forEach((letter, index) => {
      const { item, name, nearer, farther } = cards.get(letter);
      const says = state.revealed ? state.names[letter] : letter;
      name.textContent = `${index + 1}.  ${says}`;
      item.setAttribute("aria-label", `Number ${index + 1}: ${says}`);
      nearer.disabled = state.revealed || index === 0;
      farther.disabled = state.revealed || index === order.length - 1;
    });
  }

  // A drag: the picture goes at once where the pointer is.
  on(list, "pointerdown", (event) => {
    const item = event.target.closest("li");
    if (!item || event.button !== 0 || state.revealed || event.target.closest("button")) return;
    if (event.pointerType === "touch" && !event.target.closest("figcaption")) return; // fingers scroll by the picture
    event.preventDefault();
    item.focus({ preventScroll: true });
    dragged = item.dataset.letter;
    item.classList.add("sr-equal-dragged");
    root.setPointerCapture(event.pointerId);
  });
  on(root, "pointermove", (event) => {
    if (!dragged) return;
    const inside = ([, { item }]) => {
      const box = item.getBoundingClientRect();
      return event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top && event.clientY < box.bottom;
    };
    const over = [...cards].find(inside)?.[0];
    if (over && over !== dragged) moveTo(dragged, order.indexOf(over), cards.get(dragged).item);
  });
  const drop = () => {
    if (!dragged) return;
    cards.get(dragged)?.item.classList.remove("sr-equal-dragged");
    dragged = "";
    if (order.join() !== state.order.join()) talk.send({ do: "order", order, level: state.level });
  };
  on(root, "pointerup", drop);
  on(root, "pointercancel", drop);
  on(root, "lostpointercapture", drop);

  // --- Python

  const talk = makeTalk(model, PATIENCE, (words) => (note.textContent = words));

  function chooseLevel(chosen) {
    note.textContent = "Making the pictures.";
    talk.send({ do: "level", level: chosen });
  }

  function answered() {
    state = model.get("_state");
    talk.answered(state.heard);
    if (!dragged && !talk.isAsking()) order = state.order;
    flipped = "";
    note.textContent = "";
    redraw();
  }

  // --- drawing

  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  let pictures = { sheets: [], close: () => {} };
  let drawnOf = 0; // which set of pictures, for the canvases

  function load() {
    pictures.close();
    drawnOf += 1;
    pictures = loadSheets(model.get("_pictures"), redraw, (text) => (note.textContent = text));
  }

  function draw() {
    slider.value = String(state.level);
    slider.setAttribute("aria-valuetext", levels[state.level]);
    level.textContent = levels[state.level];
    revealer.disabled = state.revealed;
    for (const letter of state.letters) if (!cards.has(letter)) cards.set(letter, makeCard(letter));
    for (const letter of [...cards.keys()]) if (!state.letters.includes(letter)) cards.delete(letter);
    arrange();
    const cell = { left: 0, top: 0, width, height };
    paint(truth.canvas, pictures.sheets[0], cell, String(drawnOf));
    for (const [letter, { canvas }] of cards) {
      const sheet = letter === flipped ? 0 : state.letters.indexOf(letter) + 1;
      paint(canvas, pictures.sheets[sheet], cell, `${drawnOf} ${sheet}`);
      canvas.setAttribute("aria-label", sheet === 0 ? "The reference, in its place" : `Distortion ${state.revealed ? state.names[letter] : letter}`);
    }
    left.textContent = state.left_out.join(" ");
    left.hidden = state.left_out.length === 0;
    drawTold();
  }

  function drawTold() {
    told.hidden = !state.revealed;
    if (!state.revealed) return told.replaceChildren();
    const head = ["", "You", ...state.sortings.map(({ metric }) => metric)].map((text) => element("th", { scope: "col" }, text));
    const rows = order.map((letter, index) => {
      const cells = state.sortings.map(({ tau, places }) => {
        const [name, figure] = places[index];
        return element("td", {}, tau.startsWith("none") ? "" : name, element("small", {}, figure));
      });
      const place = index === 0 ? "nearest" : index === order.length - 1 ? "farthest" : String(index + 1);
      return element("tr", {}, element("th", { scope: "row" }, place), element("td", {}, state.names[letter]), ...cells);
    });
    const agreement = state.sortings.map(({ tau }) => element("td", {}, tau));
    rows.push(element("tr", { class: "sr-equal-tau" }, element("th", { scope: "row" }, "agreement"), element("td", {}, ""), ...agreement));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
    const words = element("p", {}, "Agreement is Kendall’s tau between the metric’s order and yours: 1 the same, 0 unrelated, −1 the reverse. ");
    words.append(state.progress);
    told.replaceChildren(element("div", { class: "sr-equal-scroll", tabindex: "0", role: "group", "aria-label": "The orders" }, table), words);
  }

  // --- keyboard, start and end

  listenToKeys(on, root, ({ key, target }) => {
    const item = target.closest("li[data-letter]");
    if (!item) return false;
    const { letter } = item.dataset;
    const focus = target === item ? item : target;
    if (key === "ArrowLeft" || key === "ArrowUp") move(letter, -1, focus);
    else if (key === "ArrowRight" || key === "ArrowDown") move(letter, 1, focus);
    else if (key === "Home") moveTo(letter, 0, focus);
    else if (key === "End") moveTo(letter, order.length - 1, focus);
    else if (key === "r" || key === "R") {
      flipped = flipped === letter ? "" : letter;
      redraw();
    } else return false;
    return true;
  });

  follow(model, "change:_pictures", load);
  follow(model, "change:_state", answered);
  load();
  drawing.begin(root);

  return makeEnd(root, talk, drawing, listening, { close: () => pictures.close() });
}

export default { render };

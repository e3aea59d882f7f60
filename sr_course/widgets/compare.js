// Two or more versions of one picture, under a movable divider or side by side. It needs no kernel.

const MOST_ZOOM = 32;
const GRAB = { mouse: 10, pen: 16, touch: 24 }; // px beside the divider that still take hold of it
const COMPARE_STATE = ["left", "right", "position", "zoom", "center", "side_by_side"];
const COMPARE_KEYS = [
  ["← →", "move the divider (Page: by 10, Home, End)"],
  ["+ −", "zoom; the wheel does it once you have clicked the picture"],
  ["Shift + arrows", "move the picture; or drag it"],
  ["0", "the whole picture again"],
  ["1 … 9", "choose the left picture; with Shift the right one"],
  ["X", "swap left and right"],
  ["S", "side by side"],
];

const round = (value, unit) => Math.round(value / unit) * unit;

// The view never leaves the picture.
function inside(center, zoom) {
  return center.map((value) => clamp(value, 0.5 / zoom, 1 - 0.5 / zoom));
}

// Left, top and side of what is seen, as fractions of the picture.
function visible({ zoom, center }) {
  const [x, y] = inside(center, zoom);
  return [x - 0.5 / zoom, y - 0.5 / zoom, 1 / zoom];
}

function paintView(canvas, image, view, smooth) {
  const width = Math.round(canvas.clientWidth * window.devicePixelRatio);
  const height = Math.round(canvas.clientHeight * window.devicePixelRatio);
  if (width === 0 || height === 0) return; // not laid out yet; the resize observer calls again
  const drawn = [view.zoom, ...view.center, width, height].join();
  if (canvas.dataset.drawn === drawn) return;
  canvas.dataset.drawn = drawn;
  canvas.width = width;
  canvas.height = height;
  const [left, top, side] = visible(view);
  const context = canvas.getContext("2d");
  const scale = width / (side * image.width); // device pixels per pixel of the picture
  // Between 1 and 2, unequal blocks would look like an artefact of the picture.
  context.imageSmoothingEnabled = smooth || (scale < 2 && !Number.isInteger(scale));
  context.imageSmoothingQuality = "high";
  context.drawImage(image, left * image.width, top * image.height, side * image.width, side * image.height, 0, 0, width, height);
}

function render({ model, el }) {
  const listening = makeListening();
  const { on } = listening;
  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  const labels = model.get("_labels");
  const [width, height] = model.get("_size");
  const following = makeState(model, COMPARE_STATE, redraw, (now) => {
    now.position = round(now.position, 0.1);
    now.zoom = round(now.zoom, 0.01);
    now.center = inside(now.center, now.zoom).map((value) => round(value, 0.0001));
  });
  const { state, change } = following;

  // --- what is on the page

  const layers = labels.map((label) =>
    element(
      "div",
      { class: "sr-compare-layer" },
      element("canvas", { role: "img", "aria-label": label }),
      element("span", { class: "sr-compare-label", "aria-hidden": "true" }, label),
    ),
  );
  const divider = element("div", {
    class: "sr-compare-divider",
    role: "slider",
    tabindex: "0",
    "aria-orientation": "horizontal",
    "aria-valuemin": "0",
    "aria-valuemax": "100",
  });
  const stage = element("div", { class: "sr-compare-stage" }, ...layers, divider);
  stage.style.setProperty("--sr-width", `${width * model.get("_enlarge")}px`);
  stage.style.setProperty("--sr-width-number", width);
  stage.style.setProperty("--sr-height-number", height);

  const readout = element("output", { class: "sr-compare-readout", "aria-live": "polite" });
  const panes = makeButton(on, "Side by side", "Side by side (S)", () => change({ side_by_side: !state.side_by_side }));
  const swapper = makeButton(on, "Swap", "Swap left and right (X)", () => swap());
  const bar = element(
    "div",
    { class: "sr-compare-bar" },
    makeButton(on, "−", "Zoom out (−)", () => zoomAt(state.zoom / 2)),
    readout,
    makeButton(on, "+", "Zoom in (+)", () => zoomAt(state.zoom * 2)),
    makeButton(on, "Fit", "The whole picture (0)", () => reset()),
    swapper,
    panes,
  );
  const choices = [["left", "Left"], ["right", "Right"]].map(([side, title]) => {
    const buttons = labels.map((label, index) => {
      const key = `${side === "right" ? "Shift+" : ""}${index + 1}`;
      return makeButton(on, label, `${label} on the ${side} (${key})`, () => choose(side, label));
    });
    const row = element("div", { class: "sr-compare-bar", role: "group", "aria-label": `${title} picture` }, element("span", {}, title), ...buttons);
    return { side, row, buttons };
  });
  const { note, say } = makeNote(model.get("_note"), { class: "sr-compare-note" });
  const root = element("div", { class: "sr-compare", role: "group" }, stage, bar, ...choices.map((one) => one.row), makeHelp(COMPARE_KEYS), note);
  el.append(root);

  // --- what can be done

  const moveTo = (position) => change({ position: clamp(position, 0, 100) });
  const swap = () => change({ left: state.right, right: state.left });
  const reset = () => change({ zoom: 1, center: [0.5, 0.5] });
  const choose = (side, label) => {
    const other = side === "left" ? "right" : "left";
    if (state[other] === label) swap();
    else change({ [side]: label });
  };
  const pan = (x, y) => {
    const [left, top] = inside(state.center, state.zoom);
    change({ center: inside([left + x / state.zoom, top + y / state.zoom], state.zoom) });
  };
  // What lies under `point` (fractions of the view) stays there.
  const zoomAt = (wanted, point = [0.5, 0.5]) => {
    const zoom = clamp(wanted, 1, MOST_ZOOM);
    const [left, top, side] = visible(state);
    const fixed = [left + point[0] * side, top + point[1] * side];
    change({ zoom, center: inside(fixed.map((value, axis) => value - (point[axis] - 0.5) / zoom), zoom) });
  };

  // --- drawing

  function draw() {
    const focused = root.getRootNode().activeElement;
    drawPictures();
    drawControls();
    // What had the keyboard may just have been hidden.
    if (root.contains(focused) && (focused.offsetParent === null || focused === stage)) holder().focus({ preventScroll: true });
  }

  // Side by side there is no divider, so the pictures themselves take the keyboard.
  function holder() {
    return state.side_by_side ? stage : divider;
  }

  function drawPictures() {
    const { left, right, side_by_side: abreast } = state;
    const position = clamp(state.position, 0, 100);
    stage.classList.toggle("sr-compare-abreast", abreast);
    stage.style.touchAction = state.zoom > 1 ? "none" : "pan-y";
    stage.style.cursor = state.zoom > 1 ? "grab" : abreast ? "default" : "ew-resize";
    layers.forEach((layer, index) => {
      const label = labels[index];
      layer.hidden = !abreast && label !== left && label !== right;
      layer.classList.toggle("sr-compare-right", !abreast && label === right && label !== left);
      layer.style.clipPath = "";
      if (!abreast && left !== right && label === left) layer.style.clipPath = `inset(0 ${100 - position}% 0 0)`;
      if (!abreast && left !== right && label === right) layer.style.clipPath = `inset(0 0 0 ${position}%)`;
      if (images[index] && !layer.hidden) paintView(layer.firstChild, images[index], state, model.get("_smooth"));
    });
    divider.style.left = `${position}%`;
    divider.style.setProperty("--sr-position", position);
  }

  function drawControls() {
    const { left, right, side_by_side: abreast } = state;
    const percent = Math.round(clamp(state.position, 0, 100));
    root.setAttribute("aria-label", abreast ? `${labels.join(", ")} side by side` : `${left} and ${right} compared`);
    divider.hidden = abreast;
    divider.setAttribute("aria-label", `Divider between ${left} and ${right}`);
    divider.setAttribute("aria-valuenow", String(percent));
    divider.setAttribute("aria-valuetext", `${percent} percent ${left}, the rest ${right}`);
    if (abreast) stage.setAttribute("tabindex", "0");
    else stage.removeAttribute("tabindex");
    readout.textContent = `${Number(state.zoom.toPrecision(3))}×`;
    panes.setAttribute("aria-pressed", String(abreast));
    swapper.hidden = abreast;
    for (const { side, row, buttons } of choices) {
      row.hidden = abreast || labels.length < 3;
      press(buttons, labels.indexOf(state[side]));
    }
  }

  // --- mouse, pen and fingers: the divider where it is near, else the picture

  const pointers = new Map(); // id -> [x, y] in px of the pane
  let pane = stage;
  let held = "";

  const placeOf = (event) => {
    const box = pane.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const fraction = ([x, y]) => [x / pane.clientWidth, y / pane.clientHeight];

  on(stage, "pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault(); // no selection of text, no drag of the page
    holder().focus({ preventScroll: true });
    if (pointers.size === 0) pane = (state.side_by_side && event.target.closest(".sr-compare-layer")) || stage;
    stage.setPointerCapture(event.pointerId);
    const place = placeOf(event);
    pointers.set(event.pointerId, place);
    const near = Math.abs(place[0] - (state.position / 100) * pane.clientWidth) <= GRAB[event.pointerType || "mouse"];
    held = !state.side_by_side && (near || state.zoom === 1) ? "divider" : "picture";
    if (held === "divider" && !near) moveTo(fraction(place)[0] * 100);
  });
  on(stage, "pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = placeOf(event);
    pointers.set(event.pointerId, now);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const spread = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
      zoomAt((state.zoom * spread(now)) / spread(before), fraction(other));
    } else if (held === "divider") {
      moveTo(fraction(now)[0] * 100);
    } else {
      const [x, y] = fraction([before[0] - now[0], before[1] - now[1]]);
      pan(x, y);
    }
  });
  for (const type of ["pointerup", "pointercancel"]) on(stage, type, (event) => pointers.delete(event.pointerId));

  on(
    stage,
    "wheel",
    (event) => {
      // A reader who only scrolls past keeps scrolling.
      if (!root.matches(":focus-within") && !event.ctrlKey) return;
      event.preventDefault();
      pane = (state.side_by_side && event.target.closest(".sr-compare-layer")) || stage;
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
      zoomAt(state.zoom * 2 ** ((-event.deltaY * lines) / 200), fraction(placeOf(event)));
    },
    { passive: false },
  );

  // --- keyboard

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function takes({ key, code, shiftKey }) {
    const digit = digitOf(code);
    const arrow = ARROWS[key];
    if (arrow && (shiftKey || state.side_by_side)) pan(0.1 * arrow[0], 0.1 * arrow[1]);
    else if (arrow) moveTo(state.position + arrow[0] - arrow[1]); // up increases, as in every slider
    else if (key === "PageUp" || key === "PageDown") moveTo(state.position + (key === "PageUp" ? 10 : -10));
    else if (key === "Home" || key === "End") moveTo(key === "Home" ? 0 : 100);
    else if (key === "+" || key === "=") zoomAt(state.zoom * 2);
    else if (key === "-" || key === "_") zoomAt(state.zoom / 2);
    else if (key === "0" || code === "Digit0") reset();
    else if (key === "x" || key === "X") swap();
    else if (key === "s" || key === "S") change({ side_by_side: !state.side_by_side });
    else if (digit && labels[digit - 1]) choose(shiftKey ? "right" : "left", labels[digit - 1]);
    else return false;
    return true;
  }

  listenToKeys(on, root, takes);

  // --- start and end

  const loaded = loadSheets(model.get("_pictures"), redraw, say);
  const images = loaded.sheets;
  drawing.begin(root);

  return makeEnd(root, following, drawing, listening, loaded);
}

export default { render };

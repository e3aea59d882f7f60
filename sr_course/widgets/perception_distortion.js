// Networks in the plane of distortion and perceptual distance. What it shares with other widgets is in frame.js.

const PICTURE_SIDE = 192; // CSS px at most, for small pictures are enlarged by a whole factor
const STATE = ["selected", "alpha", "crop", "distortion", "on_crop"];
const LIVE = 21; // positions of the slider where Python computes, as there
const PATIENCE = 8000; // ms without an answer before it is said
const DISTORTIONS = [["RMSE", "rmse"], ["PSNR", "psnr"]];
const TITLES = { rmse: "RMSE, levels of 255", psnr: "PSNR, dB" };
const LABEL_AWAY = 14; // px from a point to its name
const SHAPES = [
  { d: "M8 2.5a5.5 5.5 0 1 0 .01 0Z" },
  { d: "M3.5 3.5h9v9h-9Z" },
  { d: "M8 2l6 11h-12Z" },
  { d: "M8 1.5l6.5 6.5l-6.5 6.5l-6.5 -6.5Z" },
];
const PLANE_KEYS = [
  ["Tab, ← → ↑ ↓", "to a point, and from it to the next one"],
  ["Enter", "show its picture; with Shift blend it with the one that is seen (or Shift and a click)"],
  ["← →, Space", "on the slider: another blend; play and pause"],
  ["1 … 9", "choose the picture"],
  ["D", "distortion: RMSE or PSNR"],
  ["M", "measured on many pictures, or on the one that is seen"],
];

const rmseOf = (psnr) => 255 / 10 ** (psnr / 20);

function render({ model, el }) {
  const listening = makeListening();
  const { on, follow } = listening;
  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;
  const [points, crops, pairs, groups, cells, distanceName] = ["_points", "_crops", "_pairs", "_groups", "_cells", "_distance"].map((key) => model.get(key));
  const following = makeState(model, STATE, () => {
    ask();
    redraw();
  });
  const { state, change } = following;
  let lost = ""; // what is said where it did not answer
  let live = null; // what Python computed last, with its picture

  // --- which blend is seen

  const isBlend = () => state.selected.length === 2;
  const onCrop = () => state.on_crop || isBlend();
  const prepared = () => pairs.find(({ ends }) => isBlend() && ends.every((end) => state.selected.includes(end)));
  const positions = () => (prepared() ? prepared().crops[0].cells.length : LIVE);
  const place = () => Math.floor(state.alpha * (positions() - 1) + 0.5);
  const alphaAt = (index) => Number((index / (positions() - 1)).toFixed(4));
  const alpha = () => alphaAt(place());

  const figuresOf = (index) => {
    const { psnr, distance, cell, says } = points[index].crops[state.crop];
    return { psnr: psnr[0], distance: distance[0], cell, says };
  };

  // The blend that is seen; without `cell` and `picture` where Python has not answered yet.
  function blend() {
    const index = place();
    if (index === 0 || index === positions() - 1) return figuresOf(state.selected[index === 0 ? 0 : 1]);
    const ready = prepared();
    if (ready) {
      const { cells: made, psnr, distance } = ready.crops[state.crop];
      const at = ready.ends[0] === state.selected[0] ? index : positions() - 1 - index;
      return { cell: made[at], psnr: psnr[at], distance: distance[at], says: said(psnr[at], distance[at]) };
    }
    return isAnswer(live) && live.alpha === alpha() ? live : {};
  }

  const said = (psnr, distance) => `${psnr.toFixed(2)} dB, ${distanceName} ${distance.toFixed(model.get("_digits"))}`;

  const isAnswer = (answer) =>
    answer && isBlend() && answer.crop === state.crop && answer.ends.every((end, at) => end === state.selected[at]);

  // All measured blends of the two on this crop, as pairs of PSNR and distance, from the first to the second.
  function trail() {
    const ends = state.selected.map(figuresOf).map(({ psnr, distance }) => [psnr, distance]);
    const ready = prepared();
    if (ready) {
      const { psnr, distance } = ready.crops[state.crop];
      return psnr.map((value, at) => [value, distance[at]]);
    }
    const between = isAnswer(live) ? live.trail.slice(1, -1).map(([, psnr, distance]) => [psnr, distance]) : [];
    return [ends[0], ...between, ends[1]];
  }

  // --- Python computes one blend after the other, always the newest that was asked for

  function ask() {
    if (!isBlend() || prepared() || talk.isAsking() || lost || blend().says) return;
    talk.send({ ends: [...state.selected], crop: state.crop, alpha: alpha() });
  }

  const talk = makeTalk(model, PATIENCE, (words) => {
    lost = words; // until the slider is moved again
    redraw();
  });

  async function answered() {
    talk.answered();
    lost = "";
    const told = model.get("_live");
    if (!told.ends) return;
    const bytes = model.get("_live_picture");
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    if (closed) return picture.close();
    live?.picture.close();
    live = { ...told, picture };
    ask(); // the hand may have moved on
    redraw();
  }

  // --- what is on the page

  const choices = crops.map((_, index) => makeButton(on, String(index + 1), `Picture ${index + 1}`, () => change({ crop: index })));
  const distortions = DISTORTIONS.map(([text, value]) =>
    makeButton(on, text, `Distortion: ${text} (D)`, () => change({ distortion: value })),
  );
  const wheres = [["many pictures", false], ["this one", true]].map(([text, value]) =>
    makeButton(on, text, `Measured on ${text} (M)`, () => change({ on_crop: value })),
  );

  const svg = shape("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true" });
  const buttons = points.map(({ name, group }, index) => {
    const { colour, shape: form } = groups[group];
    const mark = shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
    mark.append(shape("path", { ...SHAPES[form], fill: colour }));
    const node = element("button", { type: "button", class: "sr-plane-point" }, mark);
    const label = element("span", { class: "sr-plane-name", "aria-hidden": "true" }, name);
    for (const one of [node, label]) on(one, "click", (event) => select(index, event.shiftKey)); // points may lie on each other
    return { node, name: label };
  });
  const ring = element("span", { class: "sr-plane-ring", "aria-hidden": "true" });
  const labels = element("div", { "aria-hidden": "true" });
  const plot = element(
    "div",
    { class: "sr-plane-plot" },
    svg,
    labels,
    ring,
    ...buttons.flatMap(({ node, name }) => [name, node]),
  );
  const above = element("div", { class: "sr-plane-above" });
  const below = element("div", { class: "sr-plane-below" });
  const legend = element("div", { class: "sr-plane-legend" });
  if (groups.length > 1) {
    for (const { name, colour, shape: form } of groups) {
      const mark = shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
      mark.append(shape("path", { ...SHAPES[form], fill: colour }));
      legend.append(element("span", {}, mark, name || "others"));
    }
  }
  const plane = element("div", { class: "sr-plane-left", role: "group" }, above, plot, below, legend);

  const [result, truth] = [0, 1].map(() => makePicture(crops[0], PICTURE_SIDE));
  result.figure.classList.add("sr-result");
  truth.caption.append(element("strong", {}, "Truth"));
  const status = element("p", { class: "sr-plane-says", role: "status" });
  const partners = element("div", { class: "sr-plane-partners", role: "group", "aria-label": "Blend with" });
  const player = makePlayer({
    on,
    count: positions,
    place,
    go: (index) => {
      lost = "";
      change({ alpha: alphaAt(index) });
    },
    redraw,
    label: "Weight of the second network",
  });
  const how = element("p", { class: "sr-note" });
  const { note, say } = makeNote(model.get("_note"));
  const right = element(
    "div",
    { class: "sr-plane-right" },
    status,
    element("div", { class: "sr-plane-pictures" }, result.figure, truth.figure),
    partners,
    player.bar,
    how,
  );
  const root = element(
    "div",
    { class: "sr-view sr-plane", role: "group", "aria-label": "The plane of perception and distortion" },
    element("div", { class: "sr-bar" }, makeGroup("Picture", choices), makeGroup("Distortion", distortions), makeGroup("Measured on", wheres)),
    element("div", { class: "sr-plane-columns" }, plane, right),
    makeHelp(PLANE_KEYS),
    note,
  );
  el.append(root);

  // The second of two to blend, or the one to be seen.
  function select(index, asSecond) {
    const [first] = state.selected;
    lost = "";
    if (asSecond && points[first].partners.includes(index)) change({ selected: [first, index], alpha: 0.5 });
    else change({ selected: [index], alpha: 0 });
  }

  // --- drawing

  function draw() {
    press(choices, state.crop);
    press(distortions, DISTORTIONS.findIndex(([, value]) => value === state.distortion));
    press(wheres, Number(onCrop()));
    wheres[0].disabled = isBlend(); // blends are measured on this picture alone
    drawPlane();
    drawPictures();
    drawPartners();
  }

  function drawPictures() {
    const names = state.selected.map((index) => points[index].name);
    const shown = isBlend() ? blend() : figuresOf(state.selected[0]);
    const weight = alpha();
    const title = isBlend() ? `${(1 - weight).toFixed(2)} ${names[0]} + ${weight.toFixed(2)} ${names[1]}` : names[0];
    const says = shown.says ?? "being computed …";
    const told = `${title}: ${says}`;
    if (status.textContent !== told) status.replaceChildren(element("strong", {}, title), `: ${says}`);
    result.caption.replaceChildren(element("strong", {}, isBlend() ? "Blend" : "Result"));
    result.canvas.setAttribute("aria-label", `Picture ${state.crop + 1}, ${told}`);
    truth.canvas.setAttribute("aria-label", `Picture ${state.crop + 1}, the truth`);
    const { width, height } = crops[state.crop];
    for (const { canvas } of [result, truth]) canvas.style.aspectRatio = `${width} / ${height}`;
    paint(truth.canvas, sheets[0], cellIn(cells, crops[state.crop].truth), "");
    if (shown.picture) paint(result.canvas, shown.picture, { left: 0, top: 0, width, height }, JSON.stringify([shown.ends, shown.crop, shown.alpha]));
    else if (shown.cell !== undefined) paint(result.canvas, sheets[0], cellIn(cells, shown.cell), "");
    result.figure.classList.toggle("sr-plane-old", shown.says === undefined);
    player.bar.hidden = !isBlend();
    how.hidden = !isBlend();
    if (!isBlend()) return;
    player.draw(`weight of ${names[1]}: ${weight.toFixed(2)}`, `${weight.toFixed(2)} of ${names[1]}, ${says}`);
    const origin = prepared()
      ? `Computed ahead at ${positions()} positions.`
      : "Computed by Python as you move; the distance is measured when the slider rests.";
    how.textContent = lost || origin;
  }

  function drawPartners() {
    const [first] = state.selected;
    const wanted = state.selected.join();
    if (partners.dataset.shown === wanted) return; // the button that was just used stays, and keeps the keyboard
    const focused = root.getRootNode().activeElement;
    const held = partners.contains(focused) ? focused.dataset.partner : undefined;
    partners.dataset.shown = wanted;
    const options = points[first].partners.map((index) => {
      const chosen = state.selected[1] === index;
      const node = makeButton(on, points[index].name, `Blend ${points[first].name} with ${points[index].name}`, () =>
        chosen ? select(first, false) : select(index, true),
      );
      node.setAttribute("aria-pressed", String(chosen));
      node.dataset.partner = String(index);
      return node;
    });
    partners.hidden = options.length === 0;
    partners.replaceChildren(element("span", {}, `Blend ${points[first].name} with`), ...options);
    options.find((node) => node.dataset.partner === held)?.focus({ preventScroll: true });
  }

  const within = (axis, value) => {
    const part = (value - axis.low) / (axis.high - axis.low);
    return clamp(axis.turned ? 1 - part : part, 0, 1);
  };

  function drawPlane() {
    const view = model.get("_views")[onCrop() ? 1 + state.crop : 0];
    const [across, up] = [view[state.distortion], view.distance];
    const x = (psnr) => within(across, state.distortion === "rmse" ? rmseOf(psnr) : psnr);
    const y = (distance) => within(up, distance);
    const at = ([psnr, distance]) => `${(1000 * x(psnr)).toFixed(1)} ${(1000 - 1000 * y(distance)).toFixed(1)}`;
    const where = onCrop() ? "this picture" : "many pictures (means)";
    above.replaceChildren(element("strong", {}, distanceName), ` (↓ better), on ${where}`);
    below.replaceChildren(element("strong", {}, TITLES[state.distortion]), " (← better)");
    plane.setAttribute("aria-label", `${distanceName} over ${TITLES[state.distortion]}, measured on ${where}`);

    const lines = [
      ...across.ticks.map(([place]) => shape("path", { d: `M${1000 * place} 1000V0`, class: "sr-chart-grid" })),
      ...up.ticks.map(([place]) => shape("path", { d: `M0 ${1000 - 1000 * place}H1000`, class: "sr-chart-grid" })),
      shape("path", { d: "M0 0V1000H1000", class: "sr-chart-frame" }),
    ];
    const bars = []; // the intervals, as boxes of fractions: left, right, below, above
    const places = points.map(({ means, crops: measured }) => {
      const { psnr, distance } = onCrop() ? measured[state.crop] : means;
      const interval = (ends) => {
        if (ends.length === 0) return;
        lines.push(shape("path", { d: `M${ends.map(at).join("L")}`, class: "sr-plane-interval" }));
        const [rights, ups] = [ends.map(([value]) => x(value)), ends.map(([, value]) => y(value))];
        bars.push([Math.min(...rights), Math.max(...rights), Math.min(...ups), Math.max(...ups)]);
      };
      interval(psnr.slice(1).map((value) => [value, distance[0]]));
      interval(distance.slice(1).map((value) => [psnr[0], value]));
      return [x(psnr[0]), y(distance[0])];
    });
    ring.hidden = !isBlend();
    if (isBlend()) lines.push(...drawTrail(at, x, y));
    svg.replaceChildren(...lines);
    drawTicks(across.ticks, up.ticks);

    const rank = places.map((_, index) => index).sort((one, other) => places[one][0] - places[other][0]);
    buttons.forEach(({ node }, index) => {
      node.style.left = `${100 * places[index][0]}%`;
      node.style.bottom = `${100 * places[index][1]}%`;
      node.dataset.rank = String(rank.indexOf(index));
      node.tabIndex = index === state.selected[0] ? 0 : -1;
      node.setAttribute("aria-pressed", String(state.selected.includes(index)));
      const { crops: measured, means, name } = points[index];
      relabel(node, `${name}: ${(onCrop() ? measured[state.crop] : means).says}`);
    });
    placeNames(places, bars);
  }

  function drawTrail(at, x, y) {
    const way = trail();
    const { psnr, distance } = blend();
    const known = psnr !== undefined && typeof distance === "number";
    ring.hidden = !known;
    if (known) {
      ring.style.left = `${100 * x(psnr)}%`;
      ring.style.bottom = `${100 * y(distance)}%`;
    }
    const nodes = [
      shape("path", { d: `M${way.map(at).join("L")}`, class: "sr-plane-trail" }),
      shape("path", { d: way.map((pair) => `M${at(pair)}h0`).join(""), class: "sr-plane-steps" }),
    ];
    // its place to the right is known, its height is still being measured
    if (psnr !== undefined && !known) nodes.push(shape("path", { d: `M${(1000 * x(psnr)).toFixed(1)} 0V1000`, class: "sr-chart-guide" }));
    return nodes;
  }

  function drawTicks(across, up) {
    const label = ([place, text], side) => {
      const node = element("span", { class: `sr-chart-${side}` }, text);
      node.style[side === "x" ? "left" : "bottom"] = `${100 * place}%`;
      return node;
    };
    labels.replaceChildren(...across.map((tick) => label(tick, "x")), ...up.map((tick) => label(tick, "y")));
  }

  // Each name where it lies on nothing else, or on the least; as in Python's still picture.
  function placeNames(places, bars) {
    const [width, height] = [plot.clientWidth, plot.clientHeight];
    if (width === 0) return; // not laid out yet; the resize observer calls again
    const middles = places.map(([right, up]) => [right * width, (1 - up) * height]);
    const taken = middles.map(([x, y]) => [x - 8, y - 8, x + 8, y + 8]);
    for (const [left, right, low, high] of bars) taken.push([left * width - 2, (1 - high) * height - 2, right * width + 2, (1 - low) * height + 2]);
    const edges = [-plot.offsetLeft, width + 14];
    buttons.forEach(({ name }, index) => {
      const [x, y] = middles[index];
      const [wide, high] = [name.offsetWidth, name.offsetHeight];
      const corners = [
        [x + LABEL_AWAY, y - high / 2],
        [x - LABEL_AWAY - wide, y - high / 2],
        [x - wide / 2, y - LABEL_AWAY - high],
        [x - wide / 2, y + LABEL_AWAY - 2],
      ];
      const boxes = corners.map(([left, top]) => [left, top, left + wide, top + high]);
      const costs = boxes.map((box) => {
        const out = Math.max(edges[0] - box[0], 0) + Math.max(box[2] - edges[1], 0);
        const shared = taken.map((one) => Math.max(Math.min(box[2], one[2]) - Math.max(box[0], one[0]), 0) * Math.max(Math.min(box[3], one[3]) - Math.max(box[1], one[1]), 0));
        return 1000 * out + shared.reduce((sum, area) => sum + area, 0);
      });
      const best = boxes[costs.indexOf(Math.min(...costs))];
      taken.push(best);
      name.style.left = `${best[0]}px`;
      name.style.top = `${best[1]}px`;
    });
  }

  // --- keyboard

  // From a point to the nearest one in the direction of the arrow.
  function step(from, key) {
    const middle = ({ node }) => [parseFloat(node.style.left), parseFloat(node.style.bottom)];
    const [x, y] = middle(buttons[from]);
    const sideways = key === "ArrowLeft" || key === "ArrowRight";
    const sign = key === "ArrowRight" || key === "ArrowUp" ? 1 : -1;
    const order = buttons
      .map((button, index) => ({ index, along: sign * (middle(button)[sideways ? 0 : 1] - (sideways ? x : y)) }))
      .filter(({ index, along }) => index !== from && (along > 0 || (along === 0 && sign * (index - from) > 0)))
      .sort((one, other) => one.along - other.along || sign * (one.index - other.index));
    if (order.length > 0) buttons[order[0].index].node.focus();
  }

  listenToKeys(on, root, (pressed) => {
    const { key, code, target } = pressed;
    const from = buttons.findIndex(({ node }) => node === target);
    const digit = digitOf(code);
    if (from >= 0 && key.startsWith("Arrow")) step(from, key);
    else if (isBlend() && from < 0 && player.takes(pressed)) return true;
    else if (digit && choices[digit - 1]) change({ crop: digit - 1 });
    else if (key === "d" || key === "D") change({ distortion: state.distortion === "rmse" ? "psnr" : "rmse" });
    else if ((key === "m" || key === "M") && !isBlend()) change({ on_crop: !state.on_crop });
    else return false;
    return true;
  });

  // --- start and end

  let closed = false;
  const loaded = loadSheets([model.get("_sprite")], redraw, say);
  const { sheets } = loaded;
  follow(model, "change:_live", answered);
  follow(model, "change:_views", redraw);
  drawing.begin(root);
  answered().then(ask);

  const forget = () => {
    closed = true;
    live?.picture.close();
  };
  return makeEnd(root, talk, player, following, drawing, listening, loaded, { close: forget });
}

export default { render };

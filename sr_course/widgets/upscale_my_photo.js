// A photograph of the learner on its way to Python, a network to choose, progress, and the result as a file.

const PATIENCE = 8000; // ms without an answer before it is said
const UPSCALE_KEYS = [
  ["O", "choose a photo on this computer; or drop one here"],
  ["1 … 9", "choose the network"],
  ["E", "enlarge"],
  ["Esc", "cancel"],
  ["D", "download the result"],
];

function render({ model, el }) {
  const listening = makeListening();
  const { on, follow } = listening;
  const view = crypto.getRandomValues(new Uint32Array(1))[0].toString(36); // of several views, the one that asked
  let sending = null; // the file on its way, its id, and how much of it was sent
  let overviewUrl = "";

  // --- what is on the page

  const input = element("input", { type: "file", accept: "image/*", tabindex: "-1", "aria-hidden": "true" });
  input.hidden = true;
  on(input, "change", () => {
    if (input.files.length > 0) upload(input.files[0]);
    input.value = ""; // so that the same file may be chosen again
  });
  const opener = makeButton(on, "Choose a photo …", "Choose a photo on this computer (O)", () => input.click());
  const title = element("span", { class: "sr-upscale-name" });

  const overview = element("img", { alt: "The whole photo, small" });
  const frame = element("i", {});
  const map = element("div", { class: "sr-upscale-map" }, overview, frame);
  const sliders = ["Across", "Down"].map((name, axis) => {
    const slider = element("input", { type: "range", min: "0", max: "100", step: "1", "aria-label": `${name}: which part is enlarged` });
    on(slider, "change", () => move(axis === 0 ? [slider.value / 100, null] : [null, slider.value / 100]));
    return slider;
  });
  const labels = ["Across", "Down"].map((name, axis) => element("label", {}, element("span", {}, name), sliders[axis]));
  const parts = element("div", { class: "sr-upscale-parts" }, map, element("div", {}, "The part that is enlarged:", ...labels));
  on(map, "click", (event) => {
    const box = map.getBoundingClientRect();
    move([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  });

  let methods = [];
  const group = element("div", { class: "sr-group", role: "group", "aria-label": "Network" });
  const starter = makeButton(on, "Enlarge 4×", "Enlarge four times (E)", () => start());
  const canceller = makeButton(on, "Cancel", "Cancel (Esc)", () => cancel());
  const downloader = makeButton(on, "Download", "Download the result (D)", () => download());
  const bar = element("progress", { max: "1" });
  const rest = element("span", { class: "sr-upscale-rest" });
  const status = element("span", { class: "sr-upscale-status", role: "status" });
  const { note, say } = makeNote("", { class: "sr-note sr-upscale-note", role: "alert" });
  const root = element(
    "div",
    { class: "sr-view sr-upscale", role: "group", "aria-label": "Enlarge your own photo" },
    element("div", { class: "sr-bar" }, opener, input, title),
    parts,
    element("div", { class: "sr-bar" }, group),
    element("div", { class: "sr-bar" }, starter, canceller, downloader, bar, rest, status),
    note,
    makeHelp(UPSCALE_KEYS),
  );
  el.append(root);

  // --- to Python and back

  const talk = makeTalk(model, PATIENCE, say);

  const working = () => model.get("_state").working !== "" || sending !== null;

  function start() {
    if (!working()) talk.send({ do: "start" });
  }

  function cancel() {
    if (!working()) return;
    sending = null;
    talk.send({ do: "cancel" });
  }

  function download() {
    if (!downloader.disabled) talk.send({ do: "file", view });
  }

  function choose(name) {
    talk.send({ do: "method", name });
  }

  function move(place) {
    const now = model.get("_state").place;
    talk.send({ do: "move", place: place.map((value, axis) => value ?? now[axis]) });
  }

  // A file goes in pieces, each when the one before has arrived: one message may not be of any size.
  function upload(file) {
    sending = { file, id: `${view}-${Date.now()}`, sent: -1 };
    talk.send({ do: "begin", id: sending.id, name: file.name, size: file.size });
    redraw();
  }

  async function sendPiece() {
    const { upload: expected } = model.get("_state");
    if (!sending) return;
    if (!expected || expected.id !== sending.id) {
      if (sending.sent >= 0 || model.get("_state").note) sending = null; // all of it is there, or it was refused
      return;
    }
    if (expected.got === sending.sent) return; // on its way already
    const { file, id } = sending;
    sending.sent = expected.got;
    try {
      const piece = await file.slice(expected.got, expected.got + model.get("_piece")).arrayBuffer();
      if (sending?.id === id) talk.send({ do: "piece", id, offset: expected.got }, [piece]);
    } catch (error) {
      sending = null;
      talk.send({ do: "refuse", why: `${file.name}: cannot be read (${error.message}). Choose it again.` });
    }
  }

  function answered() {
    talk.answered();
    sendPiece();
    redraw();
  }

  function receive(message, buffers) {
    if (message.view !== view) return;
    const url = URL.createObjectURL(new Blob([buffers[0]], { type: "image/png" }));
    const link = element("a", { href: url, download: message.file });
    root.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  // --- drawing

  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;

  function draw() {
    const focused = root.getRootNode().activeElement;
    const state = model.get("_state");
    const busy = working();
    title.textContent = state.says;
    if (!talk.isAsking() || state.note) say(state.note);
    drawParts(state);
    drawMethods(state);
    starter.disabled = busy;
    canceller.disabled = !busy;
    downloader.disabled = !state.done.includes(state.method);
    bar.hidden = !busy;
    const { upload: expected } = state;
    const share = expected && expected.size ? expected.got / expected.size : state.progress;
    bar.value = share;
    bar.setAttribute("aria-label", expected ? "Upload" : "Enlarging");
    rest.textContent = busy ? `${Math.round(100 * share)} % ${expected ? "" : state.remaining}` : "";
    status.textContent = state.working ? `${state.working} is enlarging` : expected ? "uploading" : state.done.length > 0 ? `${state.done.at(-1)} is done` : "";
    if (root.contains(focused) && focused.disabled) (busy ? canceller : starter).focus({ preventScroll: true });
  }

  function drawParts({ part, place }) {
    parts.hidden = !overviewUrl;
    const [left, top, width, height] = part.map((value) => `${100 * value}%`);
    Object.assign(frame.style, { left, top, width, height });
    sliders.forEach((slider, axis) => {
      if (slider !== root.getRootNode().activeElement) slider.value = String(Math.round(100 * place[axis]));
      labels[axis].hidden = part[2 + axis] === 1;
    });
  }

  function drawMethods({ methods: known, method, done }) {
    if (methods.map(({ name }) => name).join() !== known.map(({ name }) => name).join()) {
      methods = known.map(({ name }, index) => ({ name, button: makeButton(on, name, `${name} (${index + 1})`, () => choose(name)) }));
      group.replaceChildren(element("span", {}, "Network"), ...methods.map(({ button }) => button));
    }
    press(methods.map(({ button }) => button), known.findIndex(({ name }) => name === method));
    methods.forEach(({ name, button }, index) => {
      const state = known[index].lacking ? ", not on this computer" : done.includes(name) ? ", done" : "";
      relabel(button, `${name}${state} (${index + 1})`);
      button.textContent = `${name}${known[index].lacking ? " ⤓" : done.includes(name) ? " ✓" : ""}`;
    });
  }

  function showOverview() {
    URL.revokeObjectURL(overviewUrl);
    const bytes = model.get("_overview");
    overviewUrl = bytes.byteLength > 0 ? URL.createObjectURL(new Blob([bytes], { type: "image/png" })) : "";
    if (overviewUrl) overview.src = overviewUrl;
    redraw();
  }

  // --- drop, keyboard, start and end

  on(root, "dragover", (event) => {
    event.preventDefault();
    root.classList.add("sr-upscale-drop");
  });
  on(root, "dragleave", () => root.classList.remove("sr-upscale-drop"));
  on(root, "drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    root.classList.remove("sr-upscale-drop");
    if (event.dataTransfer.files.length > 0) upload(event.dataTransfer.files[0]);
  });

  listenToKeys(on, root, ({ key, code, target }) => {
    const letter = key.toLowerCase();
    const digit = digitOf(code);
    if (letter === "o") input.click();
    else if (letter === "e") start();
    else if (letter === "d") download();
    else if (key === "Escape" && working()) cancel();
    else if (digit && methods[digit - 1] && target.type !== "file") choose(methods[digit - 1].name);
    else return false;
    return true;
  });

  follow(model, "change:_state", answered);
  follow(model, "change:_overview", showOverview);
  follow(model, "msg:custom", receive);
  showOverview();
  drawing.begin(root);

  const forget = () => {
    sending = null;
    URL.revokeObjectURL(overviewUrl);
  };
  return makeEnd(root, { close: forget }, talk, drawing, listening);
}

export default { render };

"""Bring widgets on an exported page to life, as far as they move without Python and without a network.

A widget says that it does with a trait, `_moves_alone`. Its state then travels in the page, and a script gives it to
the widget's own front end in place of the still picture, which stays where there is no script.
"""

from __future__ import annotations

import json
from typing import Any

from nbformat import NotebookNode

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

# A front end is a module of its own, so that no two share a name. Its model is the state in the page: what a hand
# changes is kept there, and no one else changes it.
_SCRIPT = """
<script type="module">
const { frontEnds, views } = JSON.parse(document.getElementById("moving").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const modules = frontEnds.map(({ source, style }) => {
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  return import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
});
for (const { place, frontEnd, state, buffers } of views) {
  for (const { path, data } of buffers) {
    const last = path.pop();
    path.reduce((node, step) => node[step], state)[last] = bytes(data);
  }
  const model = {
    get: (key) => state[key],
    set: (key, value) => (state[key] = value),
    save_changes() {},
    on() {},
    off() {},
  };
  const still = document.getElementById(place);
  const { default: widget } = await modules[frontEnd];
  const el = document.createElement("div");
  still.after(el);
  widget.render({ model, el });
  still.hidden = true;
}
</script>
"""


def take_widgets(notebook: NotebookNode) -> str:
    """Take the live views and the state of widgets out of an executed notebook, for no page can show them as they are.

    Args:
        notebook: executed with the state of its widgets kept; changed in place. The still picture of each widget that
            moves without Python is marked as the place where it will be.

    Returns:
        The HTML that brings those widgets to life, to stand at the end of the page; empty when there are none.
    """
    models = notebook.metadata.pop("widgets", {}).get(STATE, {}).get("state", {})
    front_ends: list[dict[str, str]] = []
    views: list[dict[str, Any]] = []
    for output in (one for cell in notebook.cells for one in cell.get("outputs", []) if "data" in one):
        model = models.get(output.data.pop(VIEW, {}).get("model_id"), {})
        state = dict(model.get("state", {}))
        if not state.get("_moves_alone") or "text/html" not in output.data:
            continue
        front_end = {"source": state.pop("_esm"), "style": state.pop("_css")}
        if front_end not in front_ends:
            front_ends.append(front_end)
        place = f"moving-{len(views)}"
        output.data["text/html"] = f'<div id="{place}">{output.data["text/html"]}</div>'
        buffers = [{"path": one["path"], "data": one["data"]} for one in model.get("buffers", [])]
        views.append({"place": place, "frontEnd": front_ends.index(front_end), "state": state, "buffers": buffers})
    if not views:
        return ""
    told = json.dumps({"frontEnds": front_ends, "views": views})
    told = told.replace("<", "\\u003c")  # so that no text in it ends the element
    return f'<script type="application/json" id="moving">{told}</script>{_SCRIPT}'

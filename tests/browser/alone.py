"""A widget in a page of its own: no JupyterLab and no kernel, the front end with its state, as an exported page has."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

DARK = (
    "--jp-ui-font-color1:#eee;--jp-ui-font-color2:#bbb;--jp-border-color1:#777;"
    "--jp-layout-color1:#111;--jp-layout-color2:#333"
)


def open_alone(page: Any, folder: Path, widget: Any, *, dark: bool = False) -> None:
    """Open the page; `window.state` is the model's, `window.sent` what was sent to a kernel that is not there."""
    state, files = {}, {}
    for key in widget.keys:
        value = getattr(widget, key)
        if isinstance(value, bytes):
            files[key] = base64.b64encode(value).decode("ascii")
        elif key not in ("_esm", "_css") and isinstance(value, (str, int, float, list, dict, bool)):
            state[key] = value
    source = widget._esm.replace("export default", "const widget =")
    style = f"body{{background:#111;color:#eee;{DARK}}}" if dark else ""
    (folder / "page.html").write_text(
        f"""<!doctype html><meta charset="utf-8"><style>{widget._css}{style}</style>
        <main></main><script type="module">{source}
        const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
        const state = {json.dumps(state)};
        for (const [key, text] of Object.entries({json.dumps(files)})) state[key] = bytes(text);
        const sent = [];
        const model = {{ get: (key) => state[key], set: (key, value) => {{ state[key] = value; }},
                         on() {{}}, off() {{}}, save_changes() {{}}, send: (message) => sent.push(message) }};
        Object.assign(window, {{ state, sent }});
        window.close_widget = widget.render({{ model, el: document.querySelector("main") }});</script>""",
        encoding="utf-8",
    )
    page.goto((folder / "page.html").as_uri())

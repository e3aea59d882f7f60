"""The widgets of the lessons, one file each, its front-end file beside it."""

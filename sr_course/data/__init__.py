"""Data: the photographs that ship with the course, the catalog of public data sets, checked downloads."""

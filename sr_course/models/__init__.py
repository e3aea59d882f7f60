"""The networks of the course, one file per paper."""

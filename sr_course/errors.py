"""Errors that are meant to be read by a person: what was wrong, with which file or value, what to do."""


class CourseError(Exception):
    """Base of every error that the course raises on purpose; the command line prints it and leaves with status 2."""


class ImageError(CourseError):
    """A picture cannot be read, written or used as asked."""


class DataError(CourseError):
    """A data set, a download or an archive is missing, damaged or not what it should be."""


class ModelError(CourseError):
    """A network is unknown, or its weights do not fit."""


class TrainingError(CourseError):
    """A recipe is impossible, or a training run cannot start, go on, or be saved."""

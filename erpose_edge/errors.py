"""Every deliberate error, and the exit code that the command line gives it.

Anything else that is raised is a bug and keeps its traceback::

    ErposeError                 (never raised itself)
    ├── RequestError         2  a mistake in what was asked for
    │   ├── ConfigError      2  a setting is unknown, of the wrong type or out of range
    │   ├── DataError        2  a label file or calibration set cannot be used
    │   ├── ImageError       2  an image or video cannot be read
    │   ├── WeightsError     2  weights do not belong to the network that was asked for
    │   └── MissingExtraError 2 a package of an optional extra is not installed
    ├── TargetError          5  the target is unknown, or this machine cannot serve it
    │   └── ExportError      5  the engine did not take the network as the policy asks
    └── IntegrityError       6  bytes are missing, damaged or not the ones that were written
"""

from __future__ import annotations

EXIT_PASS = 0
EXIT_REQUEST = 2
EXIT_ACCURACY = 3
EXIT_LATENCY = 4
EXIT_TARGET = 5
EXIT_INTEGRITY = 6


class ErposeError(Exception):
    """Base of every deliberate error; ``exit_code`` is what the command line returns."""

    exit_code = EXIT_REQUEST


class RequestError(ErposeError):
    """The request cannot be carried out as written."""


class ConfigError(RequestError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(RequestError):
    """A label file, data set or calibration set cannot be used."""


class ImageError(RequestError):
    """An image or a video cannot be read."""


class WeightsError(RequestError):
    """The weights do not belong to the network that was asked for."""


class MissingExtraError(RequestError):
    """A package of an optional extra is not installed."""


class TargetError(ErposeError):
    """The target is unknown, or this machine cannot serve it."""

    exit_code = EXIT_TARGET


class ExportError(TargetError):
    """The engine did not take the network as the policy asks."""


class IntegrityError(ErposeError):
    """Bytes are missing, damaged, or not the ones that were written."""

    exit_code = EXIT_INTEGRITY

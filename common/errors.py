"""The one exception that a user can cause."""


class UsageError(Exception):
    """A usage or data error: one line that says what is wrong, where, and what to do.

    `main` functions print it without a traceback and end with exit code 2.
    """

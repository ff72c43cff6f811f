"""The one error a user is meant to read."""


class UserError(Exception):
    """Input or configuration that cannot be used.

    The message is one sentence that names what is wrong, in which file, row or key, and how to mend it.
    Entries print it without a traceback and exit with status 1.
    """

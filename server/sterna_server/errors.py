"""What keeps a command from starting, as one line for the person who typed it."""


class CommandError(Exception):
    """The command cannot do what was asked. The message says what is wrong and how to mend it.

    The command line prints it without a traceback and exits with status 2.
    """

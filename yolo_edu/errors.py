"""The one exception that is addressed to the person in front of the screen."""


class UserError(Exception):
    """Something the user gave cannot be used as it is.

    The message names the file (and the line, where there is one), says what is wrong and what to do
    about it. The command line prints it without a traceback and exits with status 2.
    """

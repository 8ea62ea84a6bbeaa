"""The one exception for mistakes that the user can put right."""


class UserError(Exception):
    """A wrong setting, path or file.

    The message is one or two lines: what is wrong, where (the config key or the file), and what would be right.
    Commands print it without a traceback and exit with code 2.
    """

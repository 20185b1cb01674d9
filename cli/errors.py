"""Failures a person can do something about: each is one line on stderr, never a traceback."""


class CommandFailed(Exception):
    """One line: what went wrong, and what to do. The command ends with exit code 1."""


class BadOption(CommandFailed):
    """One line that names the option, its value and what is allowed. The command ends with exit code 2."""


class ExchangeAway(CommandFailed):
    """It did not answer; what needs no answer of it can be done all the same."""


class CommandRefused(CommandFailed):
    """It was answered: nothing was done, and nothing will be."""

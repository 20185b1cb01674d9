"""What can go wrong with the journal, by what a caller does about it."""


class JournalError(Exception):
    """Base of all. Texts never hold the database's password."""


class JournalUnavailable(JournalError):
    """The database could not be asked or did not answer: nothing is known, doing the same again is safe."""


class JournalConflict(JournalError):
    """Another entry already stands under this key: retrying is pointless, two writers disagree about what happened."""

"""Trading plans: the document a trader writes, what it would do, and how large it makes a trade."""

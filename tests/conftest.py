"""For the whole suite."""

from hypothesis import settings

# A machine that is busy is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

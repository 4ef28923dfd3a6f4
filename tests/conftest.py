"""What every test shares: hypothesis tries the same examples in every run, and watches no clock."""

from hypothesis import settings

settings.register_profile("gauntlet", derandomize=True, database=None, deadline=None)
settings.load_profile("gauntlet")

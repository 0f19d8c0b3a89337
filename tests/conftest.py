"""Settings of every test run."""

from hypothesis import settings

# the machine may be busy; whether code is fast is measured in benchmarks/
settings.register_profile("saltus", deadline=None)
settings.load_profile("saltus")

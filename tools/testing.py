"""Settings every test of the workspace runs under (a pytest plugin, loaded by the root configuration)."""

import os

from hypothesis import settings

# Set before any test imports torch: tests run in parallel processes, so each keeps to one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

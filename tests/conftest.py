"""What holds for all tests: examples are drawn alike in each run, so that a change is judged and not luck.

`HYPOTHESIS_PROFILE=wild` draws others each time: for a night's search, and for whoever writes a property.
"""

import os

from hypothesis import settings

settings.register_profile("steady", derandomize=True, database=None)
settings.register_profile("wild", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

"""The Celery worker and the process that does a job."""

import os

# Torch's threads sleep while they wait for each other. As they are, they spin, and where another program wants the
# cores too, the one that all wait for gets none: steps of a millisecond take seconds. It is read once, when torch is
# loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

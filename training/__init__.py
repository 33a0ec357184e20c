"""How the models are made: data, pretraining, fine-tuning, evaluation, export."""

import os

# Before torch is loaded: its threads then sleep while they wait for each other. By default they
# spin, and with anything else running on the same cores a step takes up to fifty times longer.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""The worker, as real processes between a real Valkey and real stores."""

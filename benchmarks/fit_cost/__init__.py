"""What a step of a LiGO fit costs beside a plain training step of the same target, and what cheaper options lose."""

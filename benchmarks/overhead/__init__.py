"""What a job costs beside its work: the way to the child's first step, and the commit."""

"""What growing a checkpoint costs, beside the plain copying of as many bytes."""

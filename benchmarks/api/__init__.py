"""What the API bears: rate and latency of submissions beside the floor, exact records, event streams, long lists."""

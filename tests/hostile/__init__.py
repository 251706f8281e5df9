"""Requests, checkpoints and data that were made to do harm: each ends in a documented code, in bounded memory."""

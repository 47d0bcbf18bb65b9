"""Partials of shards, merged; the same code here and on a Ray cluster."""

"""Partials of shards, merged: the Rock Tokens of a log that no single process can hold, by the same
code on one machine and on a Ray cluster.

A log is cut into *shards* of whole rollouts. Each stage makes one file a shard, or a bucket of
token types, named by all it depends on, so that a scan goes on where it was stopped:

1. `sums`: sums by step and type, and cells (sums by rollout and type);
2. `before`: which losses stand where the quantile behind the thresholds lies;
3. `pairs`: the occurrences that are high before and after, with their contexts;
4. `types`: for one bucket of types the cells and contexts of all shards: the one shuffle.

Ranking, stability, cutoff and set are then the code of `rocks.detection`. A type's cells are added
in the order of the rollouts, as they are there, so scores, curves and set are the same to the last
bit, wherever the shards were cut. `hard_from` and the sums that stand beside the report are rounded
once (math.fsum), and may differ in the last bit.

What grows with the log: the cells, about half as many as positions and near 14 bytes each on disk
(planted logs of 500 tokens a rollout). What grows with the rollouts: the masks of the halves, a bit
a rollout and draw in each bucket's task. Above a million rollouts the classes of types, whose
bootstrap has a weight for each rollout and draw, are left out and called unknown.
"""

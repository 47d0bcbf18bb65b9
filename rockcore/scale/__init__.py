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

What grows with the log are the cells: on planted logs of 500 tokens a rollout 0.76 a position, 19
bytes each on disk. What grows with the rollouts are the masks of the halves, a byte a rollout and
draw in each bucket's task. Where the bootstrap behind the classes of types, a weight for each
rollout and draw, would take more than a GB, the classes are left out and called unknown.

On paper, for 100 billion positions of 500-token rollouts at three checkpoints and 150,000 types, if
a row costs what it does at 10 million in shards of 3 million (9 microseconds of a worker in all, 18
bytes of partials): 250 hours of one worker, or one hour of 256; 1.8 TB of partials beside 2.8 TB of
log. Three things would have to change first, because they sit in one process or one task. The sums
of all shards are added in the process that asks, which holds some 70 bytes a shard, step and type:
hundreds of GB for 25,000 shards. 200 million rollouts have masks of 5 GB. And every task reads the
whole plan.
"""

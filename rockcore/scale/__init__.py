"""Partials of shards, merged: the Rock Tokens of a log that no single process can hold, by the same
code on one machine and on a Ray cluster.

A log is cut into *shards* of whole rollouts. Each stage makes files of a shard, or of a bucket of
token types, named by all they depend on, so that a scan goes on where it was stopped:

1. `sums`: sums by step and type, and cells (sums by rollout and type);
2. `before`: which losses stand where the quantile behind the thresholds lies;
3. `pairs`: the occurrences that are high before and after, with their contexts;
4. `types`: for one bucket of types the cells and contexts of all shards: the one shuffle;
5. `rollouts`: what each rollout holds of the set, and the positions of the control.

Ranking, stability, cutoff and set are then the code of `rocks.detection`. A type's cells are added
in the order of the rollouts, as they are there, so scores, classes, curves, set, the table of
rollouts and the control are the same to the last bit, wherever the shards were cut: on 100 million
planted positions too, of 199,067 types, 200,000 rollouts and 1.9 million positions of the control.
`hard_from` and the sums beside the report may differ in the last bits.

Not from partials: *kappa* (it compares the kept occurrences with all others of their types, whose
contexts no stage keeps), a control of *windows* (where one finds a place depends on all before it),
and *groups* (their intervals follow from the cells, by a stage that is not written). Other rules
take another scan; its stages begin where the rules part, so the sums are there already.

On paper, for 100 billion positions: 200 million rollouts of 500 tokens, 200,000 types, three
checkpoints, shards of 4 million; if a position costs what it did at 100 million on two cores (3.2
microseconds of a core in all stages, 16.5 bytes of partials, of which 11 are shuffled, beside 27
of log; 1.2 GB a worker, see `room`):

- 90 hours of one core, a third of an hour of 256; 1.65 TB of partials, of them 1.1 TB shuffled.
- 25,000 shards by 4,096 buckets: 100 million openings of files in each of `types` and `rollouts`,
  at a millisecond each 28 hours of one core more, twice; a bucket of 24 million rows takes 3 GB.
- The sums are added one shard after the other in the process that asks, which holds one row a step
  and type whatever their number: a tenth of a second each, so about an hour for 25,000.

What breaks first, and what would have to change: the classes of types are left out from some 700
million positions on (a bootstrap weight for each rollout and draw: 1 GB; draw them by block). The
masks of the halves (51 bytes a rollout in each bucket's task) and the rollouts and control of the
report (60 bytes a rollout, 20 a position, in the process that asks) pass 2 GB at about 10 billion:
derive masks from a hash of the rollout, and leave both tables as files. Beyond it the openings:
put the shards of a node together before the shuffle.
"""

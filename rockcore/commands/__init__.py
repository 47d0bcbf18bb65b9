"""The commands of `rockcore`, a file each: what it can be told, and what it does."""

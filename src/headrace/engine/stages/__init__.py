"""One room a stage: each holds its STAGE record, its rules, and the work."""

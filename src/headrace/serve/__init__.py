"""Floor 4: answering. `answer` is the core that HTTP (`app`) and files (`batch`) share."""

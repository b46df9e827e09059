"""The documents that everything passes through: papers, predictions, results, where a result comes from."""

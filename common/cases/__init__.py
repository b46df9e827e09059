"""What a study is made of: the table of its cases, duplicates, folds, the prepared data set."""

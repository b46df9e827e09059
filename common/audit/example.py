"""A worked example of the audit: the shortest paper.toml with a number and a sum that cannot be right."""

EXAMPLE = """\
[paper]
title = "A network that finds everything"
authors = "Doe J"
venue = "Journal"
year = "2020"
doi = ""
task = "ill or healthy"
positive_class = "ill"
headline = { table = "2", row = "ours", metric = "accuracy" }

[classes]
test = { "ill" = 40, "healthy" = 60 }

[[claim]]
table = "2"
row = "ours"
metric = "accuracy"
value = 91.5
digits = 1
unit = "percent"
where = "Table 2"
classes = "test"
folds = 1
runs = 1

[[check]]
kind = "equation"
where = "section 3"
text = "40 + 60 = 110"
"""

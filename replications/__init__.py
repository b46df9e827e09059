"""One self-contained package per replicated paper."""

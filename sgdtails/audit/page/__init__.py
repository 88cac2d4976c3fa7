"""The page about one checkpoint: its content, and the same content as Markdown and as HTML."""

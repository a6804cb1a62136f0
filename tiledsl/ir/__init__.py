"""What a program is: nodes, types, text, layouts, and rewrites that are right for any GPU."""

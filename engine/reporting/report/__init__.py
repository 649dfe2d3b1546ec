"""One page of HTML on runs: what they left is read, put into tables, charts and pictures, and laid out."""

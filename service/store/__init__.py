"""The record of everything: one SQLite database, and all the SQL there is. Functions take a connection."""

"""The one process that has the device: it takes jobs from the database, one at a time, and writes what happens."""

"""What outlives the process: the database, and the same ports kept in memory."""

"""What is kept about people and requests: keys, usage, the audit log. Knows no server, no engine and no file of the user's projects."""

"""What models write when they mean a tool call, and what they write when they only show one."""

"""What several test rooms share. Import as `from support.x import y`."""

"""What botbridge serves over HTTP: so far Telegram's webhook."""

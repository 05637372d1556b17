"""Telegram, on python-telegram-bot's Bot and our own poll loop."""

"""The methods clients may call, a module for each of Telegram's namespaces."""

from . import account, auth, channels, contacts, help, messages, updates, users

__all__ = ["account", "auth", "channels", "contacts", "help", "messages", "updates", "users"]

"""The methods that clients may call, with a module for each of Telegram's namespaces."""

from . import account, auth, channels, contacts, help, messages, updates, users

__all__ = ["account", "auth", "channels", "contacts", "help", "messages", "updates", "users"]

"""`telethon-session copy`: copies a whole session to another file or server, or from or to a
string.
"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from .encryption import Keys, add_encryption_option, add_target_encryption_options, given_keys, target_keys
from .errors import AnotherLogin, CommandError
from .foreign import STRING, open_any, open_foreign, read_passcode
from .output import print_message, print_pairs, progress
from .passwords import add_password_option, add_target_password_option
from .places import Place, Remote, are_same, place
from .reader import SessionReader
from .rows import Credentials, Row, with_aliases
from .sanitize import Sanitized, sanitize_entity, sanitize_sent_file, sanitize_update_state
from .schema import LAST_WITH_WRONG_HASHES
from .source import existing, open_source
from .strings import NOT_AS_ARGUMENT, name_argument, print_login, read_login, require_login, require_private_output
from .subcommands import Subcommands, positive_int
from .target import Writer, open_target

_DESCRIPTION = """\
Copies login, takeout ID, entities with their dates and usernames, update states and sent files
from SOURCE to TARGET, and reads TARGET afterwards to verify that they are there. Each is the name
of a file, the URL of a session on a server, such as redis://localhost/0#anon, or -: as SOURCE, a
session string on standard input; as TARGET, a session string on standard output. A string
contains the login only.

SOURCE can be of another library: a string of Pyrogram, Kurigram, GramJS, mtcute or MTKruto; a
.session file of Pyrogram, Kurigram or grammers; the folder tdata of Telegram Desktop, or that of a
StoreSession of GramJS. They are told apart by their content. What they know of people is copied
too.

Refuses to overwrite another login, or to mix in the entities of another account. With --force,
everything in TARGET is replaced; on a server it is deleted as soon as SOURCE was read to its end.
If TARGET has the login of SOURCE, entities are merged (the copy seen last wins), and update states
are replaced. The login is written last, and only its owner can read the file (mode 0600). The
entity file of a string session is never a TARGET. An encrypted login is decrypted with the key of
SOURCE, and encrypted with that of TARGET; without one of its own, TARGET gets that of SOURCE.

SOURCE does not change and keeps the login. Do not use both at once."""
_STRING = "-"


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "copy",
        run,
        summary="copy a whole session between files, servers and strings",
        description=_DESCRIPTION,
        example="telethon-session copy anon redis://localhost/0#anon",
        unexpected_arguments_message=NOT_AS_ARGUMENT,
    )
    source_help = "the session to copy: a file, a folder, a URL, or -"
    parser.add_argument("source", metavar="SOURCE", type=name_argument, help=source_help)
    parser.add_argument("target", metavar="TARGET", type=name_argument, help="where to copy it: a file, a URL, or -")
    parser.add_argument(
        "--passcode-stdin", action="store_true", help="read the local passcode of Telegram Desktop from standard input"
    )
    parser.add_argument(
        "--account", type=positive_int, default=1, metavar="N", help="which account of Telegram Desktop, from 1"
    )
    parser.add_argument("--force", action="store_true", help="replace another login or account")
    parser.add_argument("--yes", action="store_true", help="print a string even to a terminal")
    add_password_option(parser)
    add_target_password_option(parser, "TARGET")
    add_encryption_option(parser, "SOURCE")
    add_target_encryption_options(parser, "TARGET")


def run(arguments: Namespace) -> int:
    keys = given_keys(arguments.encryption_key_file)
    if arguments.target == _STRING:
        require_private_output(is_allowed=arguments.yes)
        with _open(arguments, keys, is_login_enough=True) as source:
            print_login(source)
            print_message("a string contains the login only: entities, update states and sent files were not copied")
            _warn_of_two_logins(source)
        return 0
    target = place(arguments.target, arguments.target_password_file or arguments.password_file)
    to_keys = target_keys(arguments.target_encryption_key_file, keys, is_unencrypted=arguments.target_unencrypted)
    with _open(arguments, keys) as source:
        try:
            copied = copy_session(source, target, to_keys, is_forced=arguments.force)
        except AnotherLogin as error:
            raise CommandError(f"{error}, or replace it with --force") from error
        print_pairs(
            [
                ("copied", source.place),
                ("of", source.library if source.library != SessionReader.library else None),
                ("to", target),
                ("entities", f"{len(copied.entities):,}"),
                ("update states", f"{len(copied.update_states):,}"),
                ("sent files", f"{len(copied.sent_files):,}"),
                *(("left out", f"{fault}: {count:,}") for fault, count in copied.faults.items()),
                *(("note", note) for note in source.notes),
            ]
        )
        _warn_of_two_logins(source)
    return 0


def copy_session(
    source: SessionReader, target: Place, keys: Keys, *, is_forced: bool = False, shows_progress: bool = True
) -> Copied:
    """Copies a session, and reads the copy to verify it.

    Args:
        source: The session.
        target: Where to copy it. Unchanged if an error is raised before the copy is complete,
            except for a session on a server that is replaced: it is deleted as soon as the source
            was read to its end.
        keys: The encryption keys of the target.
        is_forced: Whether to replace everything in a target that has another login, or the entities
            of another account.
        shows_progress: Whether to show a progress bar on a terminal.

    Raises:
        AnotherLogin: The target has another login, or the entities of another account.
        CommandError: The session cannot be copied.
        SessionError: The server cannot be reached, or the target is in use.
    """
    if isinstance(source.place, (Path, Remote)) and are_same(source.place, target):
        raise CommandError(f"{target} cannot be copied to itself")
    credentials = require_login(source)
    others = _others_in(target, keys, credentials, source.account_id())
    if others and not is_forced:
        raise AnotherLogin(f"{target} has {others}: choose another name")
    copied = Copied()
    is_deleted = others is not None and isinstance(target, Remote)
    with (
        _read_whole(source, credentials) if is_deleted else nullcontext(source) as readable,
        open_target(target, keys, is_replaced=others is not None, gets_login=True) as writer,
    ):
        _copy(readable, credentials, writer, copied, shows_progress)
    _verify(target, keys, credentials, copied)
    return copied


class Copied:
    """What was copied: the keys of the rows.

    Attributes:
        faults: How many values were left out or corrected, by fault.
    """

    def __init__(self) -> None:
        self.entities: set[int] = set()
        self.update_states: set[int] = set()
        self.sent_files: set[Row] = set()
        self.faults: Counter[str] = Counter()


def _open(arguments: Namespace, keys: Keys, *, is_login_enough: bool = False) -> AbstractContextManager[SessionReader]:
    if arguments.source == _STRING:
        if arguments.passcode_stdin or arguments.account != 1:
            raise CommandError("a string has neither a passcode nor several accounts: leave these options out")
        return open_foreign(STRING, read_login())
    return open_any(
        arguments.source,
        arguments.password_file,
        keys,
        passcode=read_passcode() if arguments.passcode_stdin else None,
        account=arguments.account,
        is_login_enough=is_login_enough,
    )


def _others_in(target: Place, keys: Keys, credentials: Credentials, account_id: int | None) -> str | None:
    """Returns what a target holds of another login or account; `None` if it holds nothing of it."""
    before = existing(target, keys)
    if before.auth_key:
        return None if before.auth_key == credentials.auth_key else "another login"
    is_of_another = before.is_of_another_account(account_id)
    return f"the entities of another account ({before.account_id})" if is_of_another else None


@contextmanager
def _read_whole(source: SessionReader, credentials: Credentials) -> Iterator[SessionReader]:
    """Opens a copy of a session in memory that was read to its end, so that reading it again does
    not fail.
    """
    with source.snapshot() as copy:
        _copy(copy, credentials, _Discard(), Copied(), shows_progress=False)
        yield copy


class _Discard:
    """A `Writer` that writes nothing."""

    def insert(self, table: str, rows: Sequence[Row]) -> None: ...
    def insert_aliases(self, rows: Sequence[Row]) -> None: ...
    def replace_update_states(self, rows: Sequence[Row]) -> None: ...
    def replace_credentials(self, credentials: Credentials) -> None: ...
    def clear_duplicate_usernames(self) -> None: ...
    def count(self, table: str) -> int:
        return 0


def _copy(
    source: SessionReader, credentials: Credentials, writer: Writer, copied: Copied, shows_progress: bool
) -> None:
    aliases = source.aliases()
    for batch in _entity_batches(source, copied.faults, shows_progress):
        writer.insert("entities", batch)
        writer.insert_aliases(with_aliases(batch, aliases))
        copied.entities.update(row[0] for row in batch)
    writer.clear_duplicate_usernames()
    states = _sanitized(sanitize_update_state, source.rows("update_state"), copied.faults)
    writer.replace_update_states(states)
    copied.update_states.update(row[0] for row in states)
    # Before version 3 the table had other columns, and its rows were valid for a day only.
    sent_files = source.rows("sent_files") if source.version > 2 else []
    sent_files = _sanitized(sanitize_sent_file, sent_files, copied.faults)
    writer.insert("sent_files", sent_files)
    copied.sent_files.update(row[:3] for row in sent_files)
    # Until then, an interrupted copy is not a login.
    writer.replace_credentials(credentials)


def _entity_batches(source: SessionReader, faults: Counter[str], shows_progress: bool) -> Iterator[list[Row]]:
    total = source.count("entities")
    if source.version <= LAST_WITH_WRONG_HASHES and total:
        faults[f"entities, because access hashes of database version {source.version} may be wrong"] += total
        return
    with progress("copying", total) if shows_progress else nullcontext(_no_progress) as advance:
        for batch in source.entity_batches():
            yield _sanitized(sanitize_entity, batch, faults)
            advance(len(batch))


def _no_progress(_steps: int) -> None:
    """Takes the place of a progress bar."""


def _sanitized(sanitize: Callable[[Row], Sanitized], rows: Sequence[Row], faults: Counter[str]) -> list[Row]:
    usable = []
    for row in rows:
        sanitized, row_faults = sanitize(row)
        faults.update(row_faults)
        if sanitized:
            usable.append(sanitized)
    return usable


def _verify(target: Place, keys: Keys, credentials: Credentials, copied: Copied) -> None:
    """Raises `CommandError` if something that was copied cannot be read again."""
    with open_source(target, keys) as session:
        found = session.credentials()
        if found is None or (found.dc_id, found.auth_key) != (credentials.dc_id, credentials.auth_key):
            raise CommandError(f"{target} does not have the login that was copied; another program may have changed it")
        if found.takeout_id != credentials.takeout_id:
            copied.faults["takeout IDs, for which the target has no place"] += 1
        missing = len(copied.entities - {row[0] for batch in session.entity_batches() for row in batch})
        missing += len(copied.update_states - {row[0] for row in session.rows("update_state")})
        lost = copied.sent_files - {row[:3] for row in session.rows("sent_files")}
    if lost and isinstance(target, Remote):
        # Tables of other programs may have no place for them.
        copied.faults["sent files, which the target does not keep"] += len(lost)
        copied.sent_files -= lost
    elif lost:
        missing += len(lost)
    if missing:
        raise CommandError(
            f"{target} lacks {missing:,} of the copied entities, update states and sent files: try again"
        )


def _warn_of_two_logins(source: SessionReader) -> None:
    # The folder of Telegram Desktop holds more than the login.
    advice = "; delete it when the copy works" if source.library == SessionReader.library else ""
    print_message(f"{source.place} still holds the login: do not use both at once{advice}")

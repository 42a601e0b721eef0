//! What the errors of the client library and of the server mean.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use session_core::store::Kind;
use store_net::DriverError;

use crate::scripts::failed_command;

/// What a failure means for a session and for the connection.
struct Meaning {
    kind: Kind,
    /// What to do, in words.
    advice: &'static str,
    /// Whether another connection might do better: the old one leads nowhere, or to a replica.
    needs_reconnect: bool,
}

impl Meaning {
    /// Returns `true` if the server says that another one has to be asked.
    fn is_elsewhere(&self) -> bool {
        self.kind == Kind::ReadOnly || self.advice == IS_CLUSTER
    }
}

const IS_CLUSTER: &str = "the server belongs to a cluster: use redis+cluster://";

const NO_PERMISSION: &str = "the server's user lacks a permission: allow the command with ACL SETUSER USER +COMMAND, \
                             or the keys with ~PREFIX:*";

const fn meaning(kind: Kind, advice: &'static str, needs_reconnect: bool) -> Meaning {
    Meaning { kind, advice, needs_reconnect }
}

/// Codes with which a server's error begins, or which a script's error contains.
const CODES: [(&str, Meaning); 23] = [
    // Not codes: Redis 7.2, and Redis 7.0. They stand first because the user's name may follow.
    ("ACL failure in script", meaning(Kind::Denied, NO_PERMISSION, false)),
    ("The user executing the script", meaning(Kind::Denied, NO_PERMISSION, false)),
    (
        "OOM",
        meaning(Kind::Full, "the server's memory is full (maxmemory): raise it, or use a server of its own", false),
    ),
    ("MISCONF", meaning(Kind::Full, "the server cannot save to its disk: free space there", false)),
    ("READONLY", meaning(Kind::ReadOnly, "the server is a replica: give the address of the primary", true)),
    ("LOADING", meaning(Kind::Unreachable, "the server is still loading its data", false)),
    ("MASTERDOWN", meaning(Kind::Unreachable, "the replica has lost its primary", true)),
    ("NOREPLICAS", meaning(Kind::Unreachable, "the server lacks the replicas that it requires", true)),
    ("CLUSTERDOWN", meaning(Kind::Unreachable, "the cluster is down", true)),
    ("TRYAGAIN", meaning(Kind::Unreachable, "the cluster is moving the keys", false)),
    ("MOVED", meaning(Kind::CannotOpen, IS_CLUSTER, true)),
    ("ASK", meaning(Kind::Unreachable, "the cluster is moving the keys", true)),
    ("BUSY", meaning(Kind::Unreachable, "the server is busy with another program's script", false)),
    ("NOAUTH", meaning(Kind::Denied, "the server asks for a password", true)),
    ("WRONGPASS", meaning(Kind::Denied, "user or password is wrong", true)),
    ("NOPERM", meaning(Kind::Denied, NO_PERMISSION, false)),
    ("DENIED", meaning(Kind::Denied, "the server is in protected mode: set a password there", true)),
    ("cluster support disabled", meaning(Kind::CannotOpen, "the server belongs to no cluster: use redis://", true)),
    ("UNBLOCKED", meaning(Kind::Unreachable, "the server has become a replica", true)),
    ("WRONGTYPE", meaning(Kind::NotASession, "another program uses a key of this session: set another prefix", false)),
    (
        "max number of clients",
        meaning(Kind::Unreachable, "the server has too many connections: raise maxclients", true),
    ),
    ("DB index is out of range", meaning(Kind::CannotOpen, "the server has no database with this number", true)),
    (
        "unknown command",
        meaning(Kind::CannotOpen, "the server lacks a command that is needed: Redis 5 or later, or Valkey", false),
    ),
];

/// A failure of a command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: DriverError,
    /// Whether to connect anew before the next operation.
    pub(crate) needs_reconnect: bool,
}

/// Returns what an error means. `finds_primary` says whether connecting anew finds another primary.
pub(crate) fn failure(error: RedisError, finds_primary: bool) -> Failure {
    let mut understood = read(&error);
    if finds_primary && understood.is_elsewhere() {
        understood = meaning(Kind::Unreachable, "another server has taken over", true);
    }
    let Meaning { kind, advice, needs_reconnect } = understood;
    let mut told = told(&error);
    if kind == Kind::Denied
        && let Some(command) = failed_command(&told)
    {
        told = format!("{command}: {told}");
    }
    let message = if advice.is_empty() { told } else { format!("{advice} ({told})") };
    Failure { error: DriverError::new(kind, message).caused_by(error), needs_reconnect }
}

fn read(error: &RedisError) -> Meaning {
    let text = error.to_string();
    let by_code = || {
        let code = error.code().unwrap_or_default();
        CODES.iter().find(|(known, _)| *known == code).or_else(|| CODES.iter().find(|(known, _)| text.contains(known)))
    };
    match error.kind() {
        ErrorKind::Io | ErrorKind::Client if is_about_tls(&text) => {
            meaning(Kind::Denied, "TLS failed: check the certificate and tls_ca_file", true)
        }
        ErrorKind::Io | ErrorKind::Client => meaning(Kind::Unreachable, "the server cannot be reached", true),
        ErrorKind::ClusterConnectionNotFound => {
            meaning(Kind::Unreachable, "no node of the cluster can be reached", true)
        }
        ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::NoValidReplicasFoundBySentinel => {
            meaning(Kind::Unreachable, "the Sentinels know no primary of this name that works", true)
        }
        ErrorKind::AuthenticationFailed => match by_code() {
            Some((_, known)) => Meaning { needs_reconnect: true, ..*known },
            None => meaning(Kind::Denied, "user or password is wrong", true),
        },
        ErrorKind::InvalidClientConfig | ErrorKind::EmptySentinelList | ErrorKind::RESP3NotSupported => {
            meaning(Kind::CannotOpen, "the connection cannot be set up", true)
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            meaning(Kind::Other, "the server's answer cannot be read: is it a Redis server?", true)
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading) => {
            meaning(Kind::Unreachable, "the server is still loading its data", false)
        }
        _ => match by_code() {
            Some((_, known)) => Meaning { ..*known },
            None => meaning(Kind::Other, "", false),
        },
    }
}

fn is_about_tls(text: &str) -> bool {
    // The library hides what kind of error it was.
    const WORDS: [&str; 6] =
        ["certificate", "fatal alert", "corrupt message", "PEM", "TLS trust anchors", "private key"];
    WORDS.iter().any(|word| text.contains(word))
}

/// Returns the words of the server or of the client library, without what a command's arguments may
/// have brought into them.
fn told(error: &RedisError) -> String {
    const LONGEST: usize = 200;
    let text = error.to_string();
    let text = text.split(", with args beginning with").next().unwrap_or_default();
    text.chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str, detail: &str) -> RedisError {
        redis::make_extension_error(code.to_owned(), Some(detail.to_owned()))
    }

    #[test]
    fn codes_are_understood_in_scripts_too() {
        for (error, kind, needs_reconnect) in [
            (server("OOM", "command not allowed when used memory > 'maxmemory'."), Kind::Full, false),
            (
                server("ERR", "Error running script (call to f_1): @user_script:1: OOM command not allowed"),
                Kind::Full,
                false,
            ),
            (
                server(
                    "ERR",
                    "ACL failure in script: User ASK has no permissions to run the 'hset' command script: f_1, on \
                     @user_script:1.",
                ),
                Kind::Denied,
                false,
            ),
            (
                server(
                    "ERR",
                    "Error running script: @user_script:1: NOPERM this user has no permissions to run 'hset'",
                ),
                Kind::Denied,
                false,
            ),
            (server("NOAUTH", "Authentication required."), Kind::Denied, true),
            (server("WRONGTYPE", "Operation against a key"), Kind::NotASession, false),
            (server("ERR", "max number of clients reached"), Kind::Unreachable, true),
            (server("ERR", "something new"), Kind::Other, false),
            (std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(), Kind::Unreachable, true),
        ] {
            let failure = failure(error, false);
            assert_eq!((failure.error.kind, failure.needs_reconnect), (kind, needs_reconnect), "{}", failure.error);
        }
        let error = server("READONLY", "You can't write against a read only replica.");
        assert_eq!(failure(error.clone(), false).error.kind, Kind::ReadOnly);
        assert_eq!(failure(error, true).error.kind, Kind::Unreachable);
    }

    #[test]
    fn arguments_of_commands_are_not_shown() {
        let error = server("ERR", "unknown command 'EVALSHA', with args beginning with: 's3cret' ");
        let failure = failure(error, false);
        assert_eq!(failure.error.kind, Kind::CannotOpen);
        assert!(!failure.error.message.contains("s3cret"), "{}", failure.error);
    }
}

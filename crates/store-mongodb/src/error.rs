//! What the errors of the client library and of the server mean.

use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, WriteFailure};
use session_core::store::Kind;
use store_net::driver::DriverError;

/// A key exists already.
pub(crate) const DUPLICATE_KEY: i32 = 11_000;
/// The replacement of a document is not a document: how a guarded write says that its lease is
/// over.
pub(crate) const NOT_A_DOCUMENT: i32 = 40_228;
/// The account may not do this.
const UNAUTHORIZED: i32 = 13;
/// The longest text of the client library that is repeated.
const LONGEST_TEXT: usize = 600;

/// Returns the driver's error for one of the client library.
pub(crate) fn failed(what: &str, error: &Error) -> DriverError {
    let text = match &*error.kind {
        ErrorKind::Command(command) => format!("{} (code {})", command.message, command.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => format!("{} (code {})", error.message, error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => format!("{} (code {})", error.message, error.code),
        ErrorKind::ServerSelection { message, .. } => selection(message),
        // The kinds alone: an error shown as a whole has the server's response in it.
        kind => kind.to_string(),
    };
    let text: String = text.chars().take(LONGEST_TEXT).collect();
    let kind = kind(error, &text);
    DriverError::new(kind, format!("{what}: {}{}", text.trim_end_matches('.'), advice(kind)))
}

/// Returns why no server was found: the errors of the servers, without the rest of the topology.
fn selection(message: &str) -> String {
    let mut errors: Vec<_> = message
        .split(", Error: ")
        .skip(1)
        .map(|rest| {
            let end = [", labels:", " }"].iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
            let text = rest[..end].strip_prefix("Kind: ").unwrap_or(&rest[..end]);
            text.strip_prefix("I/O error: ").unwrap_or(text)
        })
        .collect();
    errors.sort_unstable();
    errors.dedup();
    if errors.is_empty() && message.contains("ReplicaSetNoPrimary") {
        return "the replica set has no primary now, or the URL's `replicaSet` is not its name".to_owned();
    }
    if errors.is_empty() { message.to_owned() } else { format!("the server cannot be reached: {}", errors.join("; ")) }
}

/// Returns the driver's error for an error within the server's response.
pub(crate) fn refused(what: &str, code: i32, text: &str) -> DriverError {
    let text: String = text.chars().take(LONGEST_TEXT).collect();
    let kind = kind_of_code(code, &text);
    DriverError::new(kind, format!("{what}: {text} (code {code}){}", advice(kind)))
}

/// Returns the server's code for an error.
pub(crate) fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        ErrorKind::InsertMany(error) => error.write_concern_error.as_ref().map(|error| error.code),
        _ => None,
    }
}

/// Returns `true` if the account may not do this.
pub(crate) fn is_unauthorized(error: &Error) -> bool {
    code(error) == Some(UNAUTHORIZED)
}

/// Returns `true` if the server, which answered, aborted the transaction because of another one.
pub(crate) fn is_transient(error: &Error) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR) && code(error).is_some()
}

/// Returns `true` if the server knows no transactions, as some imitations of MongoDB.
pub(crate) fn knows_no_transactions(error: &Error) -> bool {
    matches!(code(error), Some(20 | 59 | 115 | 263 | 304))
}

fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::Denied => ". Check the URL's user name, password and `authSource`, and the account's roles",
        Kind::Full => ". Free space on the server",
        _ => "",
    }
}

fn kind(error: &Error, text: &str) -> Kind {
    if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
        return Kind::Unreachable;
    }
    match &*error.kind {
        ErrorKind::Authentication { .. } => Kind::Denied,
        // The topology's errors are part of the text. Waiting does not mend a certificate.
        ErrorKind::ServerSelection { .. } | ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => {
            if text.contains("invalid peer certificate") {
                Kind::CannotOpen
            } else if text.contains("Authentication failed") {
                Kind::Denied
            } else {
                Kind::Unreachable
            }
        }
        ErrorKind::DnsResolve { .. } | ErrorKind::Shutdown => Kind::Unreachable,
        ErrorKind::InvalidArgument { .. } | ErrorKind::InvalidTlsConfig { .. } => Kind::CannotOpen,
        ErrorKind::Bson(_) | ErrorKind::InvalidResponse { .. } => Kind::Corrupt,
        _ => code(error).map_or(Kind::Other, |code| kind_of_code(code, text)),
    }
}

fn kind_of_code(code: i32, text: &str) -> Kind {
    match code {
        // Hosts, sockets, timeouts, failovers, conflicts: the next attempt may succeed.
        6 | 7 | 24 | 43 | 46 | 50 | 64 | 89 | 91 | 112 | 133 | 134 | 175 | 189 | 202 | 225 | 237 | 251 | 262 | 290
        | 317 | 391 | 462 | 9001 | 10_058 | 10_107 | 11_600 | 11_601 | 11_602 | 13_435 | 13_436 => Kind::Unreachable,
        8000 if text.contains("quota") => Kind::Full,
        11 | 13 | 18 | 31 | 8000 => Kind::Denied,
        14_031 => Kind::Full,
        302 => Kind::Corrupt,
        _ if text.contains("read-only") || text.contains("readOnly") => Kind::ReadOnly,
        _ if text.contains("No space left") => Kind::Full,
        _ => Kind::Other,
    }
}

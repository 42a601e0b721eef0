//! What the errors of the servers mean.

use std::io::{self, ErrorKind};

use session_core::store::Kind;
use sqlx::Error;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;
use store_net::DriverError;

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Another transaction was in the way: try again.
    Transient,
    /// A value was refused: the others can be written.
    Data,
    /// The tables are others than they were: look at them again.
    Tables,
    /// The server takes no writes: look for another one.
    ReadOnly,
    /// The connection broke.
    Broken,
    /// Anything else.
    Other,
}

/// An error of a server.
#[derive(Clone, Debug)]
pub(crate) struct SqlError {
    pub(crate) class: Class,
    pub(crate) error: DriverError,
}

pub(crate) type Result<T> = std::result::Result<T, SqlError>;

impl SqlError {
    pub(crate) fn new(class: Class, kind: Kind, message: impl Into<String>) -> Self {
        Self { class, error: DriverError::new(kind, message) }
    }

    pub(crate) fn other(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(Class::Other, kind, message)
    }
}

impl From<SqlError> for DriverError {
    fn from(error: SqlError) -> Self {
        error.error
    }
}

impl From<Error> for SqlError {
    // The library's error is not kept as a source: its details may show a row, and in it a key.
    fn from(error: Error) -> Self {
        match &error {
            Error::Database(database) => {
                if let Some(error) = database.try_downcast_ref::<PgDatabaseError>() {
                    return postgres(error.code(), error.message());
                }
                if let Some(error) = database.try_downcast_ref::<MySqlDatabaseError>() {
                    return mysql(error.number(), error.code().unwrap_or_default(), error.message());
                }
                Self::other(Kind::Other, "the server reports an unknown error")
            }
            Error::Io(error) => io_error(error),
            Error::Tls(error) => Self::other(Kind::CannotOpen, format!("no encrypted connection: {error}")),
            Error::Configuration(error) => Self::other(Kind::CannotOpen, format!("wrong options: {error}")),
            Error::Protocol(message) => Self::new(
                Class::Broken,
                Kind::Unreachable,
                format!("the server's answer was not understood: {message}"),
            ),
            other => Self::new(Class::Broken, Kind::Other, other.to_string()),
        }
    }
}

fn io_error(error: &io::Error) -> SqlError {
    match error.kind() {
        // A certificate that was refused. Waiting does not help.
        ErrorKind::InvalidData => SqlError::other(Kind::CannotOpen, format!("no encrypted connection: {error}")),
        ErrorKind::PermissionDenied => SqlError::other(Kind::Denied, format!("the system denies access: {error}")),
        _ => unreachable(&error.to_string()),
    }
}

pub(crate) fn unreachable(message: &str) -> SqlError {
    SqlError::new(Class::Broken, Kind::Unreachable, format!("the server cannot be reached: {message}"))
}

fn denied(message: &str) -> SqlError {
    SqlError::other(
        Kind::Denied,
        format!("the server denies access: {message}; check user and password in the URL, and the user's rights"),
    )
}

fn no_database(message: &str) -> SqlError {
    let advice = "create the database, or name another one in the URL, as in scheme://host/DATABASE";
    SqlError::other(Kind::CannotOpen, format!("{message}: {advice}"))
}

fn read_only(message: &str) -> SqlError {
    // The next connection may find the server that takes writes.
    SqlError::new(
        Class::ReadOnly,
        Kind::Unreachable,
        format!("the server takes no writes, as a replica does: {message}"),
    )
}

fn full(message: &str) -> SqlError {
    SqlError::other(Kind::Full, format!("the server has no room left: {message}"))
}

fn tables(message: &str) -> SqlError {
    SqlError::new(Class::Tables, Kind::Unreachable, format!("the tables have changed: {message}"))
}

fn postgres(code: &str, message: &str) -> SqlError {
    match code {
        "40001" | "40P01" | "55P03" => SqlError::new(Class::Transient, Kind::Busy, message),
        "25006" => read_only(message),
        "42P01" | "42703" => tables(message),
        "42501" => denied(message),
        "3D000" => no_database(message),
        "3F000" => SqlError::other(Kind::CannotOpen, format!("{message}: create it, or set another `schema`")),
        "53100" | "53200" => full(message),
        // PgBouncer has one code for everything.
        "08P01" if message.contains("auth") || message.contains("password") => denied(message),
        _ => match code.get(..2) {
            Some("22" | "23" | "54") => SqlError::new(Class::Data, Kind::Other, message),
            Some("28") => denied(message),
            // Shutting down, starting, out of connections, or a statement took too long.
            Some("08" | "53" | "57" | "58") => unreachable(message),
            _ => SqlError::other(Kind::Other, format!("the server refuses: {message}")),
        },
    }
}

fn mysql(number: u16, state: &str, message: &str) -> SqlError {
    match number {
        // A deadlock, or a lock that another transaction holds for long.
        1205 | 1213 => SqlError::new(Class::Transient, Kind::Busy, message),
        1290 | 1792 | 1836 | 3100 => read_only(message),
        1054 | 1146 => tables(message),
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1410 | 1698 | 1820 | 1862 | 3118 | 4151 => denied(message),
        1046 | 1049 => no_database(message),
        1021 | 1037 | 1038 | 1041 | 1114 | 1135 | 3675 => full(message),
        // Shutting down, out of connections, killed, or a statement took too long.
        1040 | 1053 | 1129 | 1130 | 1152..=1161 | 1203 | 1226 | 1317 | 1927 | 1969 | 3024 | 3159 | 4031 => {
            unreachable(message)
        }
        // Its message repeats the statement.
        1064 => SqlError::other(Kind::Other, "the server does not understand a statement"),
        1048 | 1062 | 1216 | 1217 | 1264 | 1265 | 1267 | 1292 | 1300 | 1364 | 1366 | 1406 | 1451 | 1452 | 1690
        | 3140 | 3819 | 3854 | 4025 => SqlError::new(Class::Data, Kind::Other, message),
        _ => match state.get(..2) {
            Some("22" | "23") => SqlError::new(Class::Data, Kind::Other, message),
            Some("08") => unreachable(message),
            Some("28") => denied(message),
            _ => SqlError::other(Kind::Other, format!("the server refuses: {message}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let kind = |error: SqlError| (error.class, error.error.kind);
        assert_eq!(kind(postgres("40P01", "")), (Class::Transient, Kind::Busy));
        assert_eq!(kind(postgres("22001", "")), (Class::Data, Kind::Other));
        assert_eq!(kind(postgres("57P03", "")), (Class::Broken, Kind::Unreachable));
        assert_eq!(kind(postgres("28P01", "")), (Class::Other, Kind::Denied));
        assert_eq!(kind(postgres("53100", "")), (Class::Other, Kind::Full));
        assert_eq!(kind(postgres("25006", "")), (Class::ReadOnly, Kind::Unreachable));
        assert_eq!(kind(mysql(1366, "HY000", "")), (Class::Data, Kind::Other));
        assert_eq!(kind(mysql(1213, "40001", "")), (Class::Transient, Kind::Busy));
        assert_eq!(kind(mysql(1045, "28000", "")), (Class::Other, Kind::Denied));
        assert_eq!(kind(mysql(1040, "08004", "")), (Class::Broken, Kind::Unreachable));
        let refused = io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(kind(Error::Io(refused).into()), (Class::Broken, Kind::Unreachable));
        assert!(!mysql(1064, "42000", "near X'6b6579'").error.message.contains("6b"));
    }
}

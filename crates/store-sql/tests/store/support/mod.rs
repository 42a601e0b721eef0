//! Real servers for tests, each started once for the process and stopped at its end; and databases of
//! their own for the tests.
//!
//! `TELETHON_TEST_POSTGRES` and `TELETHON_TEST_MYSQL` name servers that run already.
#![allow(unreachable_pub)]

pub mod operations;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use free_port::free_port;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, MySqlConnection, PgConnection, raw_sql};
use store_net::Driver;
use store_sql::{Dialect, SqlDriver, SqlOptions};

/// A server that runs.
pub struct Server {
    pub url: String,
    pub port: u16,
    /// Its directory, if this process has started it.
    pub directory: Option<String>,
    /// Stops the server when its input ends, so when this process does.
    _keeper: Option<Child>,
}

/// Starts a server by a script. `None`, and the reason printed, if it is not installed.
fn start(script: &str, url: &str, files: &[&Path]) -> Option<Server> {
    let port = free_port().unwrap();
    let mut keeper = Command::new("sh")
        .args(["-c", script, "sh", &port.to_string()])
        .args(files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .ok()?;
    let mut line = String::new();
    BufReader::new(keeper.stdout.take()?).read_line(&mut line).ok()?;
    let Some(directory) = line.trim().strip_prefix("ready ") else {
        let reason = "the server is not installed or does not start";
        assert!(std::env::var_os("REQUIRE_SERVERS").is_none(), "{url}: {reason}");
        eprintln!("{url}: {reason}; its tests are skipped");
        return None;
    };
    let url = url.replace("PORT", &port.to_string());
    Some(Server { url, port, directory: Some(directory.to_owned()), _keeper: Some(keeper) })
}

fn given(variable: &str) -> Option<Server> {
    let url = std::env::var(variable).ok()?;
    Some(Server { url, port: 0, directory: None, _keeper: None })
}

pub fn start_postgres(certificate: &[&Path]) -> Option<Server> {
    start(include_str!("postgres.sh"), "postgresql://telethon:secret@127.0.0.1:PORT/postgres", certificate)
}

pub fn server(dialect: Dialect) -> Option<&'static Server> {
    static POSTGRES: OnceLock<Option<Server>> = OnceLock::new();
    static MARIADB: OnceLock<Option<Server>> = OnceLock::new();
    match dialect {
        Dialect::Postgres => {
            POSTGRES.get_or_init(|| given("TELETHON_TEST_POSTGRES").or_else(|| start_postgres(&[]))).as_ref()
        }
        Dialect::MySql => MARIADB
            .get_or_init(|| {
                given("TELETHON_TEST_MYSQL")
                    .or_else(|| start(include_str!("mariadb.sh"), "mysql://telethon:secret@127.0.0.1:PORT/mysql", &[]))
            })
            .as_ref(),
    }
}

/// A database of a test's own.
pub struct Database {
    pub dialect: Dialect,
    pub name: String,
    server: &'static Server,
}

impl Database {
    /// Creates one. `None` if there is no server.
    pub fn create(dialect: Dialect) -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let server = server(dialect)?;
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        let database = Self { dialect, name, server };
        database.execute_in(None, &format!("CREATE DATABASE {}", database.name));
        Some(database)
    }

    fn url_of(&self, name: &str) -> String {
        let (start, _) = self.server.url.rsplit_once('/').unwrap();
        format!("{start}/{name}")
    }

    pub fn url(&self) -> String {
        self.url_of(&self.name)
    }

    pub fn options(&self) -> SqlOptions {
        self.url().parse().unwrap()
    }

    pub fn driver(&self) -> SqlDriver {
        driver(self.options())
    }

    /// Executes statements as another program does.
    pub fn execute(&self, sql: &str) {
        self.execute_in(Some(&self.name), sql);
    }

    /// Executes a statement in a transaction that stays open until something is sent.
    pub fn hold(&self, sql: &str) -> std::sync::mpsc::SyncSender<()> {
        let (url, dialect, sql) = (self.url(), self.dialect, sql.to_owned());
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let (release, end) = std::sync::mpsc::sync_channel::<()>(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let sql = move || raw_sql(AssertSqlSafe(format!("BEGIN; {sql}")));
            runtime.block_on(async move {
                match dialect {
                    Dialect::Postgres => {
                        let mut connection = connect_postgres(&url).await;
                        sql().execute(&mut connection).await.unwrap();
                        ready.send(()).unwrap();
                        let _ = end.recv();
                        connection.close().await.unwrap();
                    }
                    Dialect::MySql => {
                        let mut connection = MySqlConnection::connect(&url).await.unwrap();
                        sql().execute(&mut connection).await.unwrap();
                        ready.send(()).unwrap();
                        let _ = end.recv();
                        connection.close().await.unwrap();
                    }
                }
            });
        });
        is_ready.recv().unwrap();
        release
    }

    fn execute_in(&self, name: Option<&str>, sql: &str) {
        let url = name.map_or(self.server.url.clone(), |name| self.url_of(name));
        let (dialect, sql) = (self.dialect, sql.to_owned());
        run(async move {
            match dialect {
                Dialect::Postgres => {
                    let mut connection = connect_postgres(&url).await;
                    raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
                    connection.close().await.unwrap();
                }
                Dialect::MySql => {
                    let mut connection = MySqlConnection::connect(&url).await.unwrap();
                    raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
                    connection.close().await.unwrap();
                }
            }
        });
    }

    /// Returns the first column of a query's rows as texts; `None` is null.
    pub fn query(&self, sql: &str) -> Vec<Option<String>> {
        use sqlx::Row as _;
        let (url, dialect, sql) = (self.url(), self.dialect, sql.to_owned());
        run(async move {
            match dialect {
                Dialect::Postgres => {
                    let mut connection = connect_postgres(&url).await;
                    let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
                    rows.iter().map(|row| row.try_get_unchecked(0).unwrap()).collect()
                }
                Dialect::MySql => {
                    let mut connection = MySqlConnection::connect(&url).await.unwrap();
                    let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
                    rows.iter().map(|row| row.try_get_unchecked(0).unwrap()).collect()
                }
            }
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let force = if self.dialect == Dialect::Postgres { " WITH (FORCE)" } else { "" };
        self.execute_in(None, &format!("DROP DATABASE {}{force}", self.name));
    }
}

async fn connect_postgres(url: &str) -> PgConnection {
    // PgBouncer refuses connections that set it.
    let options = url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
    options.connect().await.unwrap()
}

pub fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    store_net::thread::block_on(future).unwrap()
}

pub fn driver(options: SqlOptions) -> SqlDriver {
    run(async move { SqlDriver::new(&options).await.unwrap() })
}

/// Makes tests of functions that take a database, on both kinds of servers.
macro_rules! on_both {
    (@on $dialect:expr, $($test:ident)*) => {
        $(
            #[test]
            fn $test() {
                if let Some(database) = crate::support::Database::create($dialect) {
                    super::$test(&database);
                }
            }
        )*
    };
    ($($test:ident)*) => {
        mod postgres {
            super::on_both! { @on store_sql::Dialect::Postgres, $($test)* }
        }
        mod mysql {
            super::on_both! { @on store_sql::Dialect::MySql, $($test)* }
        }
    };
}
pub(crate) use on_both;

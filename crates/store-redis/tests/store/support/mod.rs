//! Starts servers for tests.
#![allow(unreachable_pub)]

pub mod sessions;

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use free_port::free_port;
use store_redis::RedisOptions;
use tempfile::TempDir;

/// Ends the server when this process ends, in whatever way: its standard input closes then.
const GUARD: &str = r#""$@" >/dev/null 2>&1 & server=$!; cat >/dev/null; kill $server; wait $server"#;

/// A server that this test started.
pub struct Server {
    guard: Child,
    pub port: u16,
    pub dir: TempDir,
    args: Vec<String>,
}

impl Server {
    /// Starts a server; `None` if the program is not installed. It saves nothing unless `args` say so.
    pub fn start(args: &[&str]) -> Option<Self> {
        if !is_installed() {
            skip("redis-server is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(|arg| arg.replace("{dir}", dir.path().to_str().unwrap())).collect();
        let port = free_port().unwrap();
        let guard = spawn(port, dir.path(), &args);
        let server = Self { guard, port, dir, args };
        server.wait();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn options(&self) -> RedisOptions {
        RedisOptions::parse(&self.url()).unwrap()
    }

    /// Stops the server as its administrator would.
    pub fn stop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }

    /// Starts the stopped server again, with its data.
    pub fn start_again(&mut self) {
        self.guard = spawn(self.port, self.dir.path(), &self.args);
        self.wait();
    }

    /// Waits until the server answers, or accepts connections if it wants TLS.
    fn wait(&self) {
        let has_tls = has_tls(&self.args);
        wait_until("redis-server answers", Duration::from_mins(1), || answers(self.port, has_tls).unwrap_or(false));
    }

    /// Connects like any program.
    pub fn client(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server of this test process, or the one in `TELETHON_TEST_REDIS`.
static SHARED: LazyLock<Option<(Option<Server>, String)>> = LazyLock::new(|| {
    if let Ok(url) = std::env::var("TELETHON_TEST_REDIS") {
        return Some((None, url));
    }
    let server = Server::start(&[])?;
    let url = server.url();
    Some((Some(server), url))
});

/// Returns the URL of the shared server, if there is one.
pub fn shared_url() -> Option<&'static str> {
    SHARED.as_ref().map(|(_, url)| &**url)
}

/// Returns options for the shared server, with keys of their own.
pub fn shared() -> Option<RedisOptions> {
    let mut options = RedisOptions::parse(shared_url()?).unwrap();
    options.prefix = unique("test");
    options.hive_prefix = unique("hive");
    options.redisthon_prefix = unique("redis[th]on");
    Some(options)
}

/// Connects to the shared server like any program.
pub fn shared_client() -> redis::Connection {
    redis::Client::open(shared_url().unwrap()).unwrap().get_connection().unwrap()
}

/// Returns a text that no other test has.
pub fn unique(text: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{text}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Says why tests are skipped, or fails them if they must not be.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("REQUIRE_SERVERS").is_none(), "{reason}");
    println!("skipped: {reason}");
}

pub fn is_installed() -> bool {
    Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn spawn(port: u16, dir: &Path, args: &[String]) -> Child {
    let port_arg = if has_tls(args) { "0".to_owned() } else { port.to_string() };
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "sh", "redis-server"]);
    // A configuration file comes first.
    let (config, rest) = args.split_at(args.first().is_some_and(|arg| !arg.starts_with("--")).into());
    command.args(config);
    command.args(["--bind", "127.0.0.1", "--port", &port_arg, "--dir"]).arg(dir);
    if !args.iter().any(|arg| arg == "--sentinel") {
        command.args(["--save", ""]);
    }
    command.args(rest.iter().map(|arg| arg.replace("{port}", &port.to_string())));
    command.stdin(Stdio::piped()).spawn().unwrap()
}

fn has_tls(args: &[String]) -> bool {
    args.iter().any(|arg| arg == "--tls-port")
}

fn answers(port: u16, has_tls: bool) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    if has_tls {
        return Ok(true);
    }
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    // It may also want a password.
    Ok(!answer.is_empty() && !answer.starts_with("-LOADING"))
}

/// Waits until something holds.
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

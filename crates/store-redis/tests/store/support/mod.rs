//! Starts servers for tests.
#![allow(unreachable_pub)]

pub mod sessions;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
        // Another process may take a port that was free.
        for _ in 0..5 {
            let port = free_port();
            let guard = spawn(port, dir.path(), &args);
            if wait_for(port, Duration::from_secs(5)) {
                return Some(Self { guard, port, dir, args });
            }
            end(guard);
        }
        panic!("redis-server does not start");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn options(&self) -> RedisOptions {
        RedisOptions::parse(&self.url()).unwrap()
    }

    /// Stops the server as its administrator would.
    pub fn stop(&mut self) {
        end_now(&mut self.guard);
    }

    /// Starts the stopped server again, with its data.
    pub fn start_again(&mut self) {
        self.guard = spawn(self.port, self.dir.path(), &self.args);
        assert!(wait_for(self.port, Duration::from_secs(10)), "redis-server does not start again");
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

pub fn free_port() -> u16 {
    // A node of a cluster also takes the port 10,000 above.
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn spawn(port: u16, dir: &Path, args: &[String]) -> Child {
    let tls = args.iter().any(|arg| arg == "--tls-port");
    let port_arg = if tls { "0".to_owned() } else { port.to_string() };
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

fn end(mut guard: Child) {
    end_now(&mut guard);
}

fn end_now(guard: &mut Child) {
    drop(guard.stdin.take());
    let _ = guard.wait();
}

/// Waits until a server answers, whatever it says.
fn wait_for(port: u16, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            let mut answer = [0; 64];
            let is_sent = stream.write_all(b"PING\r\n").is_ok();
            // A server with TLS closes the connection.
            let is_silent = stream.read(&mut answer).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            if is_sent && !is_silent && !answer.starts_with(b"-LOADING") {
                return true;
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Waits until something holds.
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

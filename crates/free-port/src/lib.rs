//! Ports for the servers that tests start, stop and start again.
//!
//! A port that the system chose for a socket of ours would not do: a process that another thread starts
//! can hold the closed socket for a moment, so that clients are accepted and then cut, and the server
//! finds its port in use. The system also gives such a port to any connection while no server listens.
//! `tests/support/ports.py` does the same.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

/// Below the ports that systems choose for connections, which begin at 32,768 on Linux.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;
/// A node of a Redis cluster also listens this much higher, so above all ports of this crate.
const CLUSTER_BUS: u16 = 10_000;

/// Returns a port of 127.0.0.1 on which nothing listens. No other test gets it while this process runs.
///
/// # Errors
///
/// `AddrInUse` if all ports are taken.
pub fn free_port() -> io::Result<u16> {
    // Programs that run at once seldom try the same ones.
    let first = RandomState::new().build_hasher().finish() % u64::from(COUNT);
    #[allow(clippy::cast_possible_truncation)] // less than COUNT
    let first = first as u16;
    for step in 0..COUNT {
        let port = FIRST + (first + step) % COUNT;
        // The UDP port of the same number is not needed, and serves as a lock, which the system releases.
        let Ok(lock) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        if is_free(port) && is_free(port + CLUSTER_BUS) {
            std::mem::forget(lock);
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Asks without a socket on the port itself.
fn is_free(port: u16) -> bool {
    let refused = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(1));
    refused.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: HashSet<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..50).map(|_| free_port().unwrap()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ports.len(), 400);
        assert!(ports.iter().all(|port| is_free(*port) && UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_err()));
    }

    #[test]
    fn a_port_in_use_is_left_out() {
        let used = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().unwrap())).unwrap();
        let used = used.local_addr().unwrap().port();
        assert!(!is_free(used));
    }
}

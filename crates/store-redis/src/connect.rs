//! Makes connections: to a server, to a cluster, or to the primary that Sentinels know.

use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode, cmd,
};

use crate::link::Link;
use crate::options::{Address, Host, Login, Mode, RedisOptions, Tls};

/// How long connecting to one host may take.
const HOST_LIMIT: Duration = Duration::from_secs(3);
/// How often the client library repeats a command of a cluster by itself.
const CLUSTER_RETRIES: u32 = 3;

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    options: RedisOptions,
}

impl Connector {
    pub(crate) fn new(options: &RedisOptions) -> Self {
        if options.tls.is_some() {
            // The program may have installed another one, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Self { options: options.clone() }
    }

    /// Returns `true` if connecting anew finds another primary.
    pub(crate) fn finds_primary(&self) -> bool {
        let has_alternatives = matches!(&self.options.address, Address::Hosts(hosts) if hosts.len() > 1);
        self.options.mode != Mode::Single || has_alternatives
    }

    /// Returns `true` if the keys are spread over the nodes of a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.options.mode == Mode::Cluster
    }

    /// Connects. The server must answer each command within `answer_limit`.
    pub(crate) async fn connect(&self, answer_limit: Duration) -> RedisResult<Link> {
        match &self.options.mode {
            Mode::Single => self.connect_to_server(answer_limit).await,
            Mode::Cluster => self.connect_to_cluster(answer_limit).await,
            Mode::Sentinel { master } => self.connect_by_sentinel(master, answer_limit).await,
        }
    }

    /// Connects to the first host that is not a replica, or else to the first that answers.
    async fn connect_to_server(&self, answer_limit: Duration) -> RedisResult<Link> {
        let config = config(answer_limit);
        let addresses = self.addresses();
        let is_only = addresses.len() == 1;
        let (mut replica, mut failure) = (None, None);
        for address in addresses {
            match self.client(address)?.get_multiplexed_async_connection_with_config(&config).await {
                Ok(connection) if is_only => return Ok(Link::Server(connection)),
                Ok(mut connection) => {
                    if !is_replica(&mut connection).await {
                        return Ok(Link::Server(connection));
                    }
                    replica = replica.or(Some(connection));
                }
                Err(error) => failure = Some(error),
            }
        }
        match (replica, failure) {
            (Some(connection), _) => Ok(Link::Server(connection)),
            (None, Some(error)) => Err(error),
            (None, None) => Err(RedisError::from((ErrorKind::InvalidClientConfig, "no host is given"))),
        }
    }

    async fn connect_to_cluster(&self, answer_limit: Duration) -> RedisResult<Link> {
        let nodes = self.addresses().into_iter().map(|address| self.info(address, &self.options.login));
        let mut builder = ClusterClientBuilder::new(nodes.collect::<RedisResult<Vec<_>>>()?)
            .connection_timeout(HOST_LIMIT)
            .response_timeout(answer_limit)
            .retries(CLUSTER_RETRIES)
            .tcp_settings(tcp_settings());
        if let Some(tls) = &self.options.tls {
            builder = builder.tls(TlsMode::Secure).certs(certificates(tls)?);
        }
        Ok(Link::Cluster(builder.build()?.get_async_connection().await?))
    }

    /// Asks the Sentinels each time: their answer changes with a failover.
    async fn connect_by_sentinel(&self, master: &str, answer_limit: Duration) -> RedisResult<Link> {
        let RedisOptions { login, sentinel_login, db, tls, .. } = &self.options;
        let mut builder = SentinelClientBuilder::new(self.addresses(), master, SentinelServerType::Master)?
            .set_client_to_redis_db(*db)
            .set_client_to_redis_protocol(self.protocol())
            .set_client_to_redis_tcp_settings(tcp_settings())
            .set_client_to_sentinel_tcp_settings(tcp_settings());
        if let Some(username) = &login.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &login.password {
            builder = builder.set_client_to_redis_password(password.as_str());
        }
        if let Some(username) = &sentinel_login.username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &sentinel_login.password {
            builder = builder.set_client_to_sentinel_password(password.as_str());
        }
        if let Some(tls) = tls {
            let certificates = certificates(tls)?;
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        let mut client = builder.build()?;
        Ok(Link::Server(client.get_async_connection_with_config(&config(answer_limit)).await?))
    }

    fn addresses(&self) -> Vec<ConnectionAddr> {
        let hosts = match &self.options.address {
            Address::Hosts(hosts) => hosts,
            Address::Unix(path) => return vec![ConnectionAddr::Unix(path.clone())],
        };
        let address = |Host { name, port }: &Host| {
            let (host, port) = (name.clone(), *port);
            match self.options.tls {
                Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
                None => ConnectionAddr::Tcp(host, port),
            }
        };
        hosts.iter().map(address).collect()
    }

    fn protocol(&self) -> ProtocolVersion {
        if self.options.resp3 { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 }
    }

    fn info(&self, address: ConnectionAddr, login: &Login) -> RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default()
            .set_db(self.options.db)
            .set_protocol(self.protocol())
            .set_lib_name("telethon-session-rust", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &login.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &login.password {
            settings = settings.set_password(password.as_str());
        }
        Ok(address.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
    }

    fn client(&self, address: ConnectionAddr) -> RedisResult<Client> {
        let info = self.info(address, &self.options.login)?;
        match &self.options.tls {
            // The files are read each time, because certificates are renewed.
            Some(tls) => Client::build_with_tls(info, certificates(tls)?),
            None => Client::open(info),
        }
    }
}

fn config(answer_limit: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(HOST_LIMIT)).set_response_timeout(Some(answer_limit))
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// Returns `true` if a server says that it is a replica. One that may not be asked counts as a primary.
async fn is_replica(connection: &mut MultiplexedConnection) -> bool {
    let role: RedisResult<Vec<redis::Value>> = cmd("ROLE").query_async(connection).await;
    let first = role.ok().and_then(|role| role.into_iter().next());
    first.and_then(|first| redis::from_redis_value::<String>(first).ok()).is_some_and(|role| role == "slave")
}

fn certificates(tls: &Tls) -> RedisResult<TlsCertificates> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| {
            let description = format!("{}: {error}", path.display());
            RedisError::from((ErrorKind::InvalidClientConfig, "a file for TLS cannot be read", description))
        })
    };
    let root_cert = tls.ca_file.as_deref().map(read).transpose()?;
    let client_tls = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

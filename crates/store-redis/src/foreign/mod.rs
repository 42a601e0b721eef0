//! Adopts sessions that other packages have written: copies them into our layout when they are first
//! opened. Theirs is left as it is.

mod date;
mod msgpack;
mod pickle;
mod redisthon;
mod teleredis;
mod value;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::cmd;
use session_core::credentials::Credentials;
use session_core::store::{Changes, Kind};
use store_net::driver::Result;
use store_net::{CommitError, DriverError, SessionName};
use tokio::sync::Mutex as AsyncMutex;
use zeroize::Zeroizing;

use crate::commit;
use crate::keys::Keys;
use crate::link::{Link, Slot};
use crate::options::RedisOptions;
use crate::read::{self, Stored, decode};
use crate::row::{StoredLogin, login_pairs};

/// How long the keys that were found are kept: the whole keyspace of the server was read for them.
const KEPT: Duration = Duration::from_secs(20);

/// Adopts sessions.
pub(crate) struct Adopter {
    options: RedisOptions,
    slot: Arc<Slot>,
    /// Held while a session is adopted.
    running: Mutex<HashMap<SessionName, Arc<AsyncMutex<()>>>>,
    /// Held while the keyspace is read, so that it is read once for all sessions.
    contents: AsyncMutex<Option<(Instant, teleredis::AllContents)>>,
}

/// A session of another package.
enum Found {
    Teleredis(Credentials),
    Redisthon(Credentials),
}

impl Adopter {
    pub(crate) fn new(options: &RedisOptions, slot: Arc<Slot>) -> Self {
        Self { options: options.clone(), slot, running: Mutex::default(), contents: AsyncMutex::default() }
    }

    /// Adopts a session of which nothing is stored, if another package knows it. Returns what is
    /// stored afterwards.
    ///
    /// Continues although the caller may have given up: the next one finds it done.
    pub(crate) async fn adopt(self: &Arc<Self>, session: &SessionName, stored: Stored) -> Result<Stored> {
        let keys = Keys::new(&self.options.prefix, session);
        let Some(found) = self.probe(session).await? else { return Ok(stored) };
        let digest = sha1(found.credentials());
        if stored.deleted.as_deref() == Some(digest.as_bytes()) {
            return Ok(stored);
        }
        let running = Arc::clone(
            self.running.lock().unwrap_or_else(PoisonError::into_inner).entry(Arc::clone(session)).or_default(),
        );
        let (this, session) = (Arc::clone(self), Arc::clone(session));
        let task = tokio::spawn(async move {
            let adopted = {
                let _alone = running.lock().await;
                let stored = read::load(&this.slot, &keys).await?;
                if stored.login == StoredLogin::Missing {
                    this.copy(&session, &keys, &found, &digest).await
                } else {
                    Ok(())
                }
            };
            this.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
            adopted?;
            read::load(&this.slot, &keys).await
        });
        task.await.unwrap_or_else(|_| Err(DriverError::new(Kind::Other, "adopting the session was interrupted")))
    }

    /// Looks whether another package has a session, by the keys of its login.
    async fn probe(&self, session: &str) -> Result<Option<Found>> {
        let mut keys = teleredis::login_keys(&self.options.hive_prefix, session);
        keys.push(redisthon::login_key(&self.options.redisthon_prefix, session));
        let Some(mut values) = allowed(get_all(&self.slot, &keys).await)? else { return Ok(None) };
        let redisthon = values.pop().flatten();
        let values: Vec<_> = values.into_iter().flatten().collect();
        if let Some(credentials) = teleredis::choose_login(&values, &self.options)? {
            return Ok(Some(Found::Teleredis(credentials)));
        }
        Ok(match redisthon {
            Some(value) => Some(Found::Redisthon(redisthon::read_login(&value)?)),
            None => None,
        })
    }

    async fn copy(self: &Arc<Self>, session: &str, keys: &Keys, found: &Found, digest: &str) -> Result<()> {
        let mut changes = Changes::default();
        match found {
            Found::Teleredis(_) => {
                let hive = &self.options.hive_prefix;
                if let Some(all) = allowed(self.contents(hive).await)?
                    && let Some(contents) = all.get(session)
                {
                    teleredis::read_contents(&self.slot, hive, session, contents, &mut changes).await?;
                }
            }
            Found::Redisthon(_) => {
                allowed(
                    redisthon::read_contents(&self.slot, &self.options.redisthon_prefix, session, &mut changes).await,
                )?;
            }
        }
        let mut credentials = found.credentials().clone();
        credentials.fill_in_address();
        let mut login = login_pairs(&credentials);
        login.push(("adopted", Zeroizing::new(digest.as_bytes().to_vec())));
        let calls = commit::adoption(keys, &changes, login);
        match commit::run(&self.slot, &[calls]).await.pop() {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(CommitError::Failed(error))) => Err(error),
            Some(Err(_)) => Err(DriverError::new(Kind::Other, "the session was changed while it was adopted")),
        }
    }

    async fn contents(self: &Arc<Self>, hive: &str) -> Result<teleredis::AllContents> {
        let mut kept = self.contents.lock().await;
        if let Some((at, contents)) = &*kept
            && at.elapsed() < KEPT
        {
            return Ok(Arc::clone(contents));
        }
        let contents = Arc::new(teleredis::scan(&self.slot, hive).await?);
        *kept = Some((Instant::now(), Arc::clone(&contents)));
        let this = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            if let Some(this) = this.upgrade() {
                this.contents.lock().await.take_if(|(at, _)| at.elapsed() >= KEPT);
            }
        });
        Ok(contents)
    }

    /// Adds the names of all sessions of other packages.
    pub(crate) async fn list(&self, names: &mut Vec<String>) -> Result<()> {
        allowed(teleredis::list(&self.slot, &self.options.hive_prefix, names).await)?;
        allowed(redisthon::list(&self.slot, &self.options.redisthon_prefix, names).await)?;
        Ok(())
    }
}

impl Found {
    fn credentials(&self) -> &Credentials {
        match self {
            Self::Teleredis(credentials) | Self::Redisthon(credentials) => credentials,
        }
    }
}

/// Returns `None` if the user may not read the keys of other packages: there is nothing to adopt then.
fn allowed<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == Kind::Denied => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the values of keys, of any nodes. A key of another type has none.
async fn get_all(slot: &Slot, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
    let mut command = cmd("MGET");
    command.arg(keys);
    decode(slot.run(async |mut link: Link| command.query_async(&mut link).await).await?)
}

/// Returns the SHA-1 of an authorization key: enough to recognize it.
fn sha1(credentials: &Credentials) -> String {
    sha1_smol::Sha1::from(&*credentials.auth_key).digest().to_string()
}

/// Returns a date as we store it.
fn seconds(date: Option<f64>) -> u32 {
    // The cast saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    date.map_or(0, |date| date as u32)
}

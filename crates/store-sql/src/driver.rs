//! The driver: everything that a session asks of an SQL server.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::entity_table::EntityBatch;
use session_core::store::{FileKey, Kind, SentFile};
use store_net::driver::Result;
use store_net::{
    Acquired, Attempt, Commit, CommitError, Driver, DriverError, Fence, Loaded, OwnedQuery, Pages, SessionName,
};
use zeroize::Zeroizing;

use crate::error::{self, Class, SqlError};
use crate::layout::{self, Layout, Type};
use crate::options::SqlOptions;
use crate::pool::Pool;
use crate::{entities, lease, sessions, write};

/// Connections to an SQL server, and the tables there.
#[derive(Debug)]
pub struct SqlDriver {
    pool: Pool,
    /// Found out by the first operation.
    layout: Mutex<Option<Arc<Layout>>>,
    looking: tokio::sync::Mutex<()>,
}

impl SqlDriver {
    fn known_layout(&self) -> std::sync::MutexGuard<'_, Option<Arc<Layout>>> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the tables. Creates them if they do not exist.
    async fn layout(&self) -> error::Result<Arc<Layout>> {
        let _one_at_a_time = self.looking.lock().await;
        if let Some(layout) = &*self.known_layout() {
            return Ok(Arc::clone(layout));
        }
        let layout = Arc::new(self.checked(layout::find_or_create(&self.pool).await)?);
        *self.known_layout() = Some(Arc::clone(&layout));
        Ok(layout)
    }

    async fn layout_for(&self, session: &SessionName) -> error::Result<Arc<Layout>> {
        let layout = self.layout().await?;
        check_name(&layout, session)?;
        Ok(layout)
    }

    /// Draws the consequences of an error.
    fn checked<T>(&self, result: error::Result<T>) -> error::Result<T> {
        if let Err(error) = &result {
            self.pool.note(error.class);
            if error.class == Class::Tables {
                *self.known_layout() = None;
            }
        }
        result
    }
}

/// Checks that a name can be that of a session.
fn check_name(layout: &Layout, session: &str) -> error::Result<()> {
    let most = match layout.sessions.column("session_id") {
        Type::Text { most, .. } => (*most).min(255),
        _ => 255,
    };
    if session.chars().count() > most || session.contains('\0') {
        let message = format!("a session's name has at most {most} characters, and no zero byte");
        return Err(SqlError::other(Kind::CannotOpen, message));
    }
    Ok(())
}

impl Driver for SqlDriver {
    type Options = SqlOptions;

    async fn new(options: &SqlOptions) -> Result<Self> {
        Ok(Self { pool: Pool::new(options.clone()), layout: Mutex::default(), looking: tokio::sync::Mutex::default() })
    }

    async fn load(&self, session: &SessionName) -> Result<Loaded> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(sessions::load(&self.pool, &layout, session).await)?)
    }

    async fn find(&self, session: &SessionName, query: &OwnedQuery) -> Result<EntityBatch> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(entities::find(&self.pool, &layout, session, query).await)?)
    }

    async fn count(&self, session: &SessionName, ids: RangeInclusive<i64>) -> Result<usize> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(entities::count(&self.pool, &layout, session, &ids).await)?)
    }

    async fn forgettings(&self, session: &SessionName) -> Result<i64> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(sessions::forgettings(&self.pool, &layout, session).await)?)
    }

    async fn scan(&self, session: &SessionName, pages: Pages) -> Result<()> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(entities::scan(&self.pool, &layout, session, &pages).await)?)
    }

    async fn sent_file(&self, session: &SessionName, key: &FileKey) -> Result<Option<SentFile>> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(sessions::sent_file(&self.pool, &layout, session, key).await)?)
    }

    async fn sent_files(&self, session: &SessionName) -> Result<Vec<(FileKey, SentFile)>> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(sessions::sent_files(&self.pool, &layout, session).await)?)
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<std::result::Result<(), CommitError>> {
        let all = |error: SqlError| {
            let error = DriverError::from(error);
            commits.iter().map(|_| Err(error.clone().into())).collect()
        };
        let layout = match self.layout().await {
            Ok(layout) => layout,
            Err(error) => return all(error),
        };
        if let Some(refused) = commits.iter().find_map(|commit| check_name(&layout, &commit.session).err()) {
            // A session with such a name cannot be opened in the first place.
            return all(refused);
        }
        self.checked(write::commit(&self.pool, &layout, commits).await).unwrap_or_else(all)
    }

    async fn delete(&self, session: &SessionName, own_keys: &[Zeroizing<Vec<u8>>], _: Attempt) -> Result<bool> {
        // A transaction that is late holds its locks until it ends.
        let layout = self.layout_for(session).await?;
        Ok(self.checked(sessions::delete(&self.pool, &layout, session, own_keys).await)?)
    }

    async fn list(&self) -> Result<Vec<String>> {
        let layout = self.layout().await?;
        Ok(self.checked(sessions::list(&self.pool, &layout).await)?)
    }

    async fn acquire(&self, session: &SessionName, owner: &str, time: Duration) -> Result<Acquired> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(lease::acquire(&self.pool, &layout, session, owner, time).await)?)
    }

    async fn renew(&self, session: &SessionName, fence: Fence, owner: &str, time: Duration) -> Result<bool> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(lease::renew(&self.pool, &layout, session, fence, owner, time).await)?)
    }

    async fn release(&self, session: &SessionName, fence: Fence) -> Result<()> {
        let layout = self.layout_for(session).await?;
        Ok(self.checked(lease::release(&self.pool, &layout, session, fence).await)?)
    }
}

//! [`Database`]: a pool, and the four ways to use a connection of it: one statement, a snapshot, a change, a check.
//!
//! Thread: the bridge's. Invariants: a connection goes back to the pool only when its call ended in order; after any error, or when its call
//! is dropped half-way, it is closed, so that nobody finds an open transaction or a late answer on it. Until a commit is sent nothing can
//! be written, because the server rolls back what is not committed: such a call may be tried again.
//!
//! Limits: [`ATTEMPTS_MAX`] tries, the time of [`Timeouts`](crate::Timeouts). What can fail: see [`Fault`].

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Hook, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use lynk_model::StoreError;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::{Connect, Fault, FaultKind, OpenError, migrate};

/// Tries of one call: the first, and those after a lost connection or a conflict that the server rolled back.
pub const ATTEMPTS_MAX: u32 = 5;

/// Parameters of a statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What a change came to.
pub(crate) enum Verdict<T> {
    /// Keep it.
    Commit(T),
    /// Nothing was to be changed, or it is refused.
    Rollback(T),
}

/// A pool of one role's connections. Clones share it; each keeps its own last failure.
pub(crate) struct Database {
    pool: Pool,
    operation: Duration,
    fault: Mutex<Option<Fault>>,
}

impl Clone for Database {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), operation: self.operation, fault: Mutex::default() }
    }
}

impl Database {
    /// Makes the pool; connects to nothing yet.
    pub(crate) fn new(connect: &Connect) -> Result<Self, OpenError> {
        // Whether a connection is still good shows with its first statement, which may be repeated on another one.
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(connect.settings(true)?, connect.tls()?, config);
        let timeouts = connect.timeouts;
        let pool = Pool::builder(manager)
            .max_size(connect.pool_size as usize)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(timeouts.operation))
            .create_timeout(Some(timeouts.connect))
            .recycle_timeout(Some(timeouts.connect))
            // By each new connection, so that a program also notices a migration that came after its start.
            .post_create(Hook::async_fn(|client, _| Box::pin(async move { migrate::check(client).await })))
            .build()
            .map_err(|_| OpenError::Setting { name: "pool_size", why: "no pool can be made of it" })?;
        Ok(Self { pool, operation: timeouts.operation, fault: Mutex::default() })
    }

    /// One connection at least can be had, and the schema fits now, also for connections that were made before.
    pub(crate) async fn check(&self) -> Result<(), Fault> {
        let refused = |error| Fault::of_pool(PoolError::PostCreateHook(error));
        self.read(async |session| migrate::check(session.client()).await.map_err(refused)).await
    }

    /// The last failure since it was asked for.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault().take()
    }

    fn fault(&self) -> MutexGuard<'_, Option<Fault>> {
        // A panic ends the process, so only a test can see the poison.
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what `result` failed with.
    pub(crate) fn noted<T>(&self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| {
            let error = fault.store_error();
            *self.fault() = Some(fault);
            error
        })
    }

    /// Statements that need no transaction: one, or several of which each may see another state.
    pub(crate) async fn read<T>(&self, work: impl AsyncFn(&Session) -> Result<T, Fault>) -> Result<T, Fault> {
        self.repeat(async |deadline| {
            let mut session = self.session(deadline).await?;
            let found = in_time(deadline, "a read", work(&session)).await?;
            session.clean = true;
            Ok(found)
        })
        .await
    }

    /// Statements that all see the same state.
    pub(crate) async fn snapshot<T>(
        &self,
        work: impl AsyncFn(&Session) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.repeat(async |deadline| {
            let mut session = self.session(deadline).await?;
            let all = async {
                session.plain("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                let found = work(&session).await?;
                session.plain("COMMIT").await?;
                Ok(found)
            };
            let found = in_time(deadline, "a read", all).await?;
            session.clean = true;
            Ok(found)
        })
        .await
    }

    /// A state that stays while it is read page by page. It takes one connection of the pool. `touch` reads a table: with the first read the
    /// state is fixed.
    pub(crate) async fn hold(&self, touch: &str) -> Result<Held, Fault> {
        let deadline = Instant::now() + self.operation;
        let session = self.session(deadline).await?;
        let begin = async {
            session.plain("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            // Between two pages others are filled.
            session.plain("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
            session.plain(touch).await
        };
        in_time(deadline, "a read", begin).await?;
        Ok(Held { session, operation: self.operation, fault: Mutex::default() })
    }

    /// A transaction. `work` may run several times, and must decide by what it reads after its locks. Each statement sees what was
    /// committed before it (`READ COMMITTED`): what must stay as it was read is under a lock.
    pub(crate) async fn change<T>(
        &self,
        work: impl AsyncFn(&Session) -> Result<Verdict<T>, Fault>,
    ) -> Result<T, Fault> {
        self.repeat(async |deadline| {
            let mut session = self.session(deadline).await?;
            let all = async {
                session.plain("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
                work(&session).await
            };
            match in_time(deadline, "a change", all).await? {
                Verdict::Commit(value) => {
                    self.commit(&session).await?;
                    session.clean = true;
                    Ok(value)
                }
                Verdict::Rollback(value) => {
                    // When this fails the connection is closed, which ends the transaction, too.
                    session.clean = in_time(deadline, "a rollback", session.plain("ROLLBACK")).await.is_ok();
                    Ok(value)
                }
            }
        })
        .await
    }

    /// From here on an answer that does not come leaves the outcome open.
    async fn commit(&self, session: &Session) -> Result<(), Fault> {
        let sent = session.client().batch_execute("COMMIT");
        match timeout_at(Instant::now() + self.operation, sent).await {
            Ok(answer) => answer.map_err(|error| Fault::of_commit(&error)),
            Err(_) => Err(Fault::new(FaultKind::Unknown, "a commit: no answer in time")),
        }
    }

    async fn repeat<T>(&self, attempt: impl AsyncFn(Instant) -> Result<T, Fault>) -> Result<T, Fault> {
        let deadline = Instant::now() + self.operation;
        let mut attempts = 1;
        loop {
            match attempt(deadline).await {
                Err(fault) if fault.again && attempts < ATTEMPTS_MAX && Instant::now() < deadline => {
                    // Whoever won a conflict needs a moment to finish.
                    sleep(Duration::from_millis(1 << attempts)).await;
                    attempts += 1;
                }
                result => return result,
            }
        }
    }

    async fn session(&self, deadline: Instant) -> Result<Session, Fault> {
        let object = match timeout_at(deadline, self.pool.get()).await {
            Ok(object) => object.map_err(Fault::of_pool)?,
            Err(_) => return Err(Fault::late("a connection")),
        };
        Ok(Session { object: Some(object), clean: false })
    }
}

async fn in_time<T>(
    deadline: Instant,
    what: &str,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout_at(deadline, work).await.unwrap_or_else(|_| Err(Fault::late(what)))
}

/// A transaction that reads; its connection is closed with it.
pub(crate) struct Held {
    session: Session,
    operation: Duration,
    fault: Mutex<Option<Fault>>,
}

impl Held {
    /// Reads at the held state.
    pub(crate) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&Session) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.operation;
        in_time(deadline, "a read", work(&self.session)).await.map_err(|fault| {
            let error = fault.store_error();
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
            error
        })
    }

    /// The last failure since it was asked for.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How many rows tables have, each in the time of one call.
pub(crate) async fn count(held: &Held, tables: &[&str]) -> Result<u64, StoreError> {
    let mut sum = 0;
    for table in tables {
        let sql = format!("SELECT count(*) FROM {table}");
        let count = async |session: &Session| {
            session.row(&sql, &[]).await?.as_ref().map_or(Ok(0), |row| crate::column::number(row, 0))
        };
        sum += held.read(count).await?;
    }
    Ok(sum)
}

/// A connection that is in use.
pub(crate) struct Session {
    object: Option<Object>,
    /// Whether the next user finds it as if it were new.
    clean: bool,
}

impl Session {
    fn client(&self) -> &Object {
        self.object.as_ref().expect("it is taken by drop only")
    }

    /// A statement of the protocol of transactions.
    async fn plain(&self, sql: &str) -> Result<(), Fault> {
        self.client().batch_execute(sql).await.map_err(|error| Fault::of_statement(&error))
    }

    /// All rows of a query.
    pub(crate) async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        let run = async {
            let statement = self.client().prepare_cached(sql).await?;
            self.client().query(&statement, params).await
        };
        run.await.map_err(|error| Fault::of_statement(&error))
    }

    /// The first row of a query.
    pub(crate) async fn row(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Rows changed.
    pub(crate) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Fault> {
        let run = async {
            let statement = self.client().prepare_cached(sql).await?;
            self.client().execute(&statement, params).await
        };
        run.await.map_err(|error| Fault::of_statement(&error))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.clean
        {
            drop(Object::take(object));
        }
    }
}

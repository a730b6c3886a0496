//! A store to test on: what a service is to its journal.

use std::sync::Arc;

use journal::sql::{postgres, sqlite};
use journal::{Appended, Journal, LogState, NewEvent, Result};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};
use testkit::TestDatabase;

pub(crate) enum Store {
    Postgres {
        pool: PgPool,
        _database: TestDatabase,
    },
    Sqlite {
        pool: SqlitePool,
        reader: SqlitePool,
        _dir: tempfile::TempDir,
    },
}

impl Store {
    pub(crate) async fn postgres() -> Self {
        let database = TestDatabase::new().await;
        let pool = PgPoolOptions::new().connect(database.url()).await.unwrap();
        postgres::migrator(&Migrator::DEFAULT)
            .run(&pool)
            .await
            .unwrap();
        Self::Postgres {
            pool,
            _database: database,
        }
    }

    pub(crate) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(dir.path().join("test.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .unwrap();
        sqlite::migrator(&Migrator::DEFAULT)
            .run(&pool)
            .await
            .unwrap();
        let reader = SqlitePoolOptions::new()
            .connect_with(options.read_only(true))
            .await
            .unwrap();
        Self::Sqlite {
            pool,
            reader,
            _dir: dir,
        }
    }

    pub(crate) fn journal(&self) -> Arc<dyn Journal> {
        match self {
            Self::Postgres { pool, .. } => Arc::new(postgres::PostgresJournal::new(pool.clone())),
            Self::Sqlite { pool, reader, .. } => {
                Arc::new(sqlite::SqliteJournal::new(reader.clone(), pool.clone()))
            }
        }
    }

    pub(crate) async fn append(&self, channel: &str, events: &[NewEvent]) -> Appended {
        self.transaction(channel, events, true).await
    }

    /// As a service whose transaction fails after the append.
    pub(crate) async fn append_and_abort(&self, channel: &str, events: &[NewEvent]) {
        self.transaction(channel, events, false).await;
    }

    pub(crate) async fn open(&self, channel: &str) -> Result<LogState> {
        match self {
            Self::Postgres { pool, .. } => {
                postgres::open(&mut *pool.acquire().await?, channel).await
            }
            Self::Sqlite { pool, .. } => sqlite::open(&mut *pool.acquire().await?, channel).await,
        }
    }

    async fn transaction(&self, channel: &str, events: &[NewEvent], commit: bool) -> Appended {
        match self {
            Self::Postgres { pool, .. } => {
                let mut transaction = pool.begin().await.unwrap();
                let appended = postgres::append(&mut transaction, channel, events)
                    .await
                    .unwrap();
                if commit {
                    transaction.commit().await.unwrap();
                }
                appended
            }
            Self::Sqlite { pool, .. } => {
                let mut transaction = pool.begin_with("begin immediate").await.unwrap();
                let appended = sqlite::append(&mut transaction, channel, events)
                    .await
                    .unwrap();
                if commit {
                    transaction.commit().await.unwrap();
                }
                appended
            }
        }
    }
}

/// Events with these payloads.
pub(crate) fn events(payloads: &[&str]) -> Vec<NewEvent> {
    payloads
        .iter()
        .map(|payload| NewEvent::new(payload.as_bytes().to_vec()))
        .collect()
}

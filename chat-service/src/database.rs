//! Opens the database that an address names, and brings its tables up to date.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use crate::error::{Error, Result};
use crate::store::{PostgresStore, SqliteStore, Store};

/// A connection that is not free within this time is not waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// The server ends a statement after this time: by then nobody waits for it.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long a write waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// An address of a database.
#[derive(Clone, Debug)]
pub struct Database {
    options: Options,
    max_connections: u32,
}

#[derive(Clone, Debug)]
enum Options {
    Postgres(PgConnectOptions),
    Sqlite(SqliteConnectOptions),
}

impl Database {
    /// Parses `postgres://…` or `sqlite://FILE`. Nothing is opened yet.
    ///
    /// # Errors
    /// What is wrong with the address, without its password.
    pub fn new(url: &str, max_connections: u32) -> std::result::Result<Self, String> {
        let options = match url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => PgConnectOptions::from_str(url)
                .map(Options::Postgres)
                .map_err(|_| "it is not a valid PostgreSQL address".to_owned())?,
            Some(("sqlite", _)) => SqliteConnectOptions::from_str(url)
                .map(Options::Sqlite)
                .map_err(|_| "it is not a valid SQLite address".to_owned())?,
            _ => return Err("it must begin with `postgres://` or `sqlite://`".to_owned()),
        };
        Ok(Self {
            options,
            max_connections,
        })
    }

    /// The rooms in it. Connections are made when they are needed, so this works
    /// while the database is away.
    ///
    /// # Errors
    /// The folder of a SQLite file cannot be made.
    pub fn store(&self) -> std::io::Result<Arc<dyn Store>> {
        match &self.options {
            Options::Postgres(options) => {
                let options = options
                    .clone()
                    .application_name("chat-service")
                    .options([("statement_timeout", STATEMENT_TIMEOUT)]);
                let pool = PgPoolOptions::new()
                    .max_connections(self.max_connections)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_lazy_with(options);
                Ok(Arc::new(PostgresStore::new(pool)))
            }
            Options::Sqlite(options) => {
                let options = sqlite_options(options)?;
                let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
                let writer = pool.clone().max_connections(1);
                let reader = pool.max_connections(self.max_connections);
                Ok(Arc::new(SqliteStore::new(
                    reader.connect_lazy_with(options.clone()),
                    writer.connect_lazy_with(options),
                )))
            }
        }
    }

    /// Whether it is a file of this process's own, not a server.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.options, Options::Sqlite(_))
    }

    /// Brings the tables up to date. Replicas may do it at the same time.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: try again. [`Error::Internal`]: the tables are newer
    /// than this program, or not ours.
    pub async fn migrate(&self) -> Result<()> {
        // On a connection of its own, because it may take longer than a statement of
        // the pool's may.
        match &self.options {
            Options::Postgres(options) => {
                let connecting = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect());
                let mut connection = connecting.await.map_err(|_| no_answer())??;
                PostgresStore::migrator().run(&mut connection).await?;
                connection.close().await?;
            }
            Options::Sqlite(options) => {
                let options = sqlite_options(options).map_err(sqlx::Error::Io)?;
                let mut connection = options.connect().await?;
                SqliteStore::migrator().run(&mut connection).await?;
                connection.close().await?;
            }
        }
        Ok(())
    }
}

/// What is acknowledged survives a loss of power: hence `full`.
fn sqlite_options(options: &SqliteConnectOptions) -> std::io::Result<SqliteConnectOptions> {
    let folder = options.get_filename().parent();
    if let Some(folder) = folder.filter(|folder| *folder != Path::new("")) {
        std::fs::create_dir_all(folder)?;
    }
    Ok(options
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT))
}

fn no_answer() -> Error {
    Error::Unavailable("the database did not answer".into())
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            other => Self::Internal(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_kind_of_database() {
        assert!(Database::new("postgres://app:pw@db/chat", 10).is_ok());
        assert!(Database::new("postgresql://db/chat?sslmode=require", 10).is_ok());
        assert!(Database::new("sqlite://data/chat.db", 10).is_ok());
        for url in ["", "mysql://db/chat", "postgres://db:port/x"] {
            assert!(Database::new(url, 10).is_err(), "{url}");
        }
    }
}

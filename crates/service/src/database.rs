//! Opens the database that an address names, and brings its tables up to date.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use rand::Rng;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgPool, SqlitePool};

use crate::failure::Failure;

/// A connection that is not free within this time is not waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// The server ends a statement after this time: by then nobody waits for it.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long a write waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// Pauses between two attempts to bring the tables up to date.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

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

/// Connections to a database.
#[derive(Clone, Debug)]
pub enum Pools {
    /// To a server.
    Postgres(PgPool),
    /// To a file: one pool to read with, and one of at most one connection to write
    /// with, because SQLite has one writer at a time.
    Sqlite {
        /// Reads.
        reader: SqlitePool,
        /// Writes.
        writer: SqlitePool,
    },
}

/// What brings a service's tables up to date.
#[derive(Debug)]
pub struct Migrations {
    /// In PostgreSQL.
    pub postgres: Migrator,
    /// In SQLite.
    pub sqlite: Migrator,
}

impl Database {
    /// Parses `postgres://…` or `sqlite://FILE`. Nothing is opened yet.
    ///
    /// # Errors
    /// What is wrong with the address, without its password.
    pub fn new(url: &str, max_connections: u32) -> Result<Self, String> {
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

    /// Pools of connections to it. Connections are made when they are needed, so this
    /// works while the database is away. `application` is the name that a server shows.
    ///
    /// # Errors
    /// The folder of a SQLite file cannot be made.
    pub fn pools(&self, application: &str) -> std::io::Result<Pools> {
        match &self.options {
            Options::Postgres(options) => {
                let options = options
                    .clone()
                    .application_name(application)
                    .options([("statement_timeout", STATEMENT_TIMEOUT)]);
                let pool = PgPoolOptions::new()
                    .max_connections(self.max_connections)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_lazy_with(options);
                Ok(Pools::Postgres(pool))
            }
            Options::Sqlite(options) => {
                let options = sqlite_options(options)?;
                let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
                let writer = pool.clone().max_connections(1);
                let reader = pool.max_connections(self.max_connections);
                Ok(Pools::Sqlite {
                    reader: reader.connect_lazy_with(options.clone()),
                    writer: writer.connect_lazy_with(options),
                })
            }
        }
    }

    /// Brings the tables up to date. Replicas may do it at the same time.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: try again. [`Failure::Internal`]: the tables are newer
    /// than this program, or not ours.
    pub async fn migrate(&self, migrations: &Migrations) -> Result<(), Failure> {
        // On a connection of its own, because it may take longer than a statement of
        // the pool's may.
        match &self.options {
            Options::Postgres(options) => {
                let connecting = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect());
                let mut connection = connecting.await.map_err(|_| no_answer())??;
                migrations.postgres.run(&mut connection).await?;
                connection.close().await?;
            }
            Options::Sqlite(options) => {
                let options = sqlite_options(options).map_err(sqlx::Error::Io)?;
                let mut connection = options.connect().await?;
                migrations.sqlite.run(&mut connection).await?;
                connection.close().await?;
            }
        }
        Ok(())
    }

    /// The same, waiting for a database that is away as long as it takes.
    ///
    /// # Errors
    /// [`Failure::Internal`], as of [`migrate`](Self::migrate).
    pub async fn migrate_until_done(&self, migrations: &Migrations) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.migrate(migrations).await {
                Err(Failure::Unavailable(cause)) => {
                    tracing::warn!(error = %cause, "the database is not there yet");
                    tokio::time::sleep(pause.mul_f64(rand::rng().random_range(0.5..1.0))).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
                result => return result,
            }
        }
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

fn no_answer() -> Failure {
    Failure::Unavailable("the database did not answer".into())
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

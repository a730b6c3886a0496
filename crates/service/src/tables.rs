//! Which of a service's tables are not there: the database may be another one, or
//! nobody brought its tables up to date.

use sqlx::{PgPool, SqlitePool};

/// Those of `names` that are no tables of a PostgreSQL database. One round trip.
///
/// # Errors
/// The database's.
pub async fn missing_in_postgres(pool: &PgPool, names: &[&str]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select name from unnest($1::text[]) with ordinality as names (name, number)
        where to_regclass(name) is null order by number",
    )
    .bind(names)
    .fetch_all(pool)
    .await
}

/// Those of `names` that are no tables of a SQLite file.
///
/// # Errors
/// The database's.
pub async fn missing_in_sqlite(pool: &SqlitePool, names: &[&str]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select value from json_each($1)
        where value not in (select name from sqlite_master where type = 'table') order by key",
    )
    .bind(serde_json::json!(names).to_string())
    .fetch_all(pool)
    .await
}

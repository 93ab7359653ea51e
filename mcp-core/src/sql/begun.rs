//! A transaction on a connection of a pool.

use std::ops::{Deref, DerefMut};

use sqlx::{Database, SqlStr, pool::PoolConnection};
use sqlx_core::transaction::TransactionManager as _;

/// A transaction that has begun. Dropping it rolls back.
///
/// sqlx's own would give a connection back to its pool also where the BEGIN failed half-way, so that each release
/// had to ask the server whether something was left open. Here such a connection is closed.
#[derive(Debug)]
pub(crate) struct Begun<DB: Database> {
    conn: PoolConnection<DB>,
    state: State,
    /// Whether statements may be prepared once for the connection.
    prepares: bool,
}

#[derive(Debug, PartialEq)]
enum State {
    /// Nobody knows what the server has done.
    Beginning,
    Open,
    Ended,
}

impl<DB: Database> Begun<DB> {
    /// Begins with `statement`.
    pub(crate) async fn begin(
        conn: PoolConnection<DB>,
        statement: SqlStr,
        prepares: bool,
    ) -> Result<Self, sqlx::Error> {
        let mut begun = Self { conn, state: State::Beginning, prepares };
        DB::TransactionManager::begin(&mut begun.conn, Some(statement)).await?;
        begun.state = State::Open;
        Ok(begun)
    }

    pub(crate) const fn prepares(&self) -> bool {
        self.prepares
    }

    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::commit(&mut self.conn).await?;
        self.state = State::Ended;
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        DB::TransactionManager::rollback(&mut self.conn).await?;
        self.state = State::Ended;
        Ok(())
    }
}

impl<DB: Database> Deref for Begun<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        &self.conn
    }
}

impl<DB: Database> DerefMut for Begun<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.conn
    }
}

impl<DB: Database> Drop for Begun<DB> {
    fn drop(&mut self) {
        match self.state {
            State::Beginning => self.conn.close_on_drop(),
            // Goes out before anything else does on this connection.
            State::Open => DB::TransactionManager::start_rollback(&mut self.conn),
            State::Ended => {}
        }
    }
}

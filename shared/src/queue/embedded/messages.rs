//! What is done to messages, each in one statement and so whole or not at all.

use super::{DeadLetter, clock};
use crate::queue::{Delivery, Depth, Receipt, Settlement};
use rusqlite::{Connection, OptionalExtension, Result, params};
use std::time::Duration;

/// Dead letters that an accelerator's queue keeps; the oldest go first.
const DEAD_KEPT: i64 = 1000;

/// Adds a message.
pub(super) fn publish(connection: &Connection, accelerator: &str, body: &[u8], delay: Duration) -> Result<()> {
    let hidden = clock::millis(delay);
    let mut insert = connection.prepare_cached(
        "INSERT INTO messages (accelerator, body, visible_at, visible_wall, hidden_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        accelerator,
        body,
        from_now(hidden),
        clock::wall() + hidden,
        hidden
    ])?;
    Ok(())
}

/// Takes the oldest deliverable message.
pub(super) fn take(connection: &Connection, accelerator: &str, visibility: Duration) -> Result<Option<Delivery>> {
    let now = clock::now();
    let mut ready = connection.prepare_cached(
        "SELECT 1 FROM messages WHERE accelerator = ?1 AND dead_reason IS NULL AND visible_at <= ?2 LIMIT 1",
    )?;
    // An idle worker only reads: the lock for writing is for those who have something to do.
    if !ready.exists(params![accelerator, now])? {
        return Ok(None);
    }
    let hidden = clock::millis(visibility);
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let mut update = connection.prepare_cached(
        "UPDATE messages SET receipt = ?3, visible_at = ?4, visible_wall = ?5, hidden_ms = ?6,
                deliveries = deliveries + 1
         WHERE id = (SELECT id FROM messages
                     WHERE accelerator = ?1 AND dead_reason IS NULL AND visible_at <= ?2 ORDER BY id LIMIT 1)
         RETURNING id, body, deliveries",
    )?;
    let row = params![accelerator, now, nonce, now + hidden, clock::wall() + hidden, hidden];
    let taken = update.query_row(row, |row| {
        let id: i64 = row.get(0)?;
        let receipt = Receipt(format!("{id}.{nonce}"));
        Ok(Delivery {
            body: row.get(1)?,
            receipt,
            deliveries: row.get(2)?,
        })
    });
    taken.optional()
}

/// Hides a delivery for another `visibility`; whether its receipt still counts.
pub(super) fn extend(connection: &Connection, receipt: &Receipt, visibility: Duration) -> Result<bool> {
    let Some((id, nonce)) = parts(receipt) else {
        return Ok(false);
    };
    let (now, hidden) = (clock::now(), clock::millis(visibility));
    let mut update = connection.prepare_cached(
        "UPDATE messages SET visible_at = ?4, visible_wall = ?5, hidden_ms = ?6
         WHERE id = ?1 AND receipt = ?2 AND visible_at > ?3",
    )?;
    Ok(update.execute(params![id, nonce, now, now + hidden, clock::wall() + hidden, hidden])? == 1)
}

/// Ends a delivery; whether its receipt still counted.
pub(super) fn settle(connection: &Connection, receipt: &Receipt, settlement: &Settlement) -> Result<bool> {
    let Some((id, nonce)) = parts(receipt) else {
        return Ok(false);
    };
    let now = clock::now();
    let ended = match settlement {
        Settlement::Done => connection
            .prepare_cached("DELETE FROM messages WHERE id = ?1 AND receipt = ?2 AND visible_at > ?3")?
            .execute(params![id, nonce, now])?,
        Settlement::Release => put_back(connection, id, nonce, Duration::ZERO)?,
        Settlement::Retry { after } => put_back(connection, id, nonce, *after)?,
        Settlement::Dead { reason } => bury(connection, id, nonce, reason)?,
    };
    Ok(ended == 1)
}

fn put_back(connection: &Connection, id: i64, nonce: &str, after: Duration) -> Result<usize> {
    let hidden = clock::millis(after);
    connection
        .prepare_cached(
            "UPDATE messages SET receipt = NULL, visible_at = ?4, visible_wall = ?5, hidden_ms = ?6
             WHERE id = ?1 AND receipt = ?2 AND visible_at > ?3",
        )?
        .execute(params![
            id,
            nonce,
            clock::now(),
            from_now(hidden),
            clock::wall() + hidden,
            hidden
        ])
}

fn bury(connection: &Connection, id: i64, nonce: &str, reason: &str) -> Result<usize> {
    let buried = connection
        .prepare_cached(
            "UPDATE messages SET receipt = NULL, dead_reason = ?4, dead_wall = ?5
             WHERE id = ?1 AND receipt = ?2 AND visible_at > ?3",
        )?
        .execute(params![id, nonce, clock::now(), reason, clock::wall()])?;
    connection
        .prepare_cached(
            "DELETE FROM messages WHERE dead_reason IS NOT NULL
               AND accelerator = (SELECT accelerator FROM messages WHERE id = ?1)
               AND id NOT IN (SELECT dead.id FROM messages AS dead WHERE dead.dead_reason IS NOT NULL
                                AND dead.accelerator = (SELECT accelerator FROM messages WHERE id = ?1)
                              ORDER BY dead_wall DESC, id DESC LIMIT ?2)",
        )?
        .execute(params![id, DEAD_KEPT])?;
    Ok(buried)
}

/// Counts an accelerator's messages.
pub(super) fn depth(connection: &Connection, accelerator: &str) -> Result<Depth> {
    let mut count = connection.prepare_cached(
        "SELECT count(*) FILTER (WHERE dead_reason IS NULL AND visible_at <= ?2),
                count(*) FILTER (WHERE dead_reason IS NULL AND visible_at > ?2 AND receipt IS NULL),
                count(*) FILTER (WHERE dead_reason IS NULL AND visible_at > ?2 AND receipt IS NOT NULL),
                count(*) FILTER (WHERE dead_reason IS NOT NULL)
         FROM messages WHERE accelerator = ?1",
    )?;
    count.query_row(params![accelerator, clock::now()], |row| {
        let number = |at| {
            row.get::<_, i64>(at)
                .map(|count| u64::try_from(count).unwrap_or_default())
        };
        Ok(Depth {
            ready: number(0)?,
            delayed: number(1)?,
            in_flight: number(2)?,
            dead: number(3)?,
        })
    })
}

/// An accelerator's dead letters, the newest first.
pub(super) fn dead(connection: &Connection, accelerator: &str) -> Result<Vec<DeadLetter>> {
    let mut letters = connection.prepare_cached(
        "SELECT body, dead_reason, deliveries FROM messages WHERE accelerator = ?1 AND dead_reason IS NOT NULL
         ORDER BY dead_wall DESC, id DESC",
    )?;
    let letter = |row: &rusqlite::Row<'_>| {
        Ok(DeadLetter {
            body: row.get(0)?,
            reason: row.get(1)?,
            deliveries: row.get(2)?,
        })
    };
    letters.query_map([accelerator], letter)?.collect()
}

/// 0 for "at once", which holds on every clock.
fn from_now(hidden: i64) -> i64 {
    if hidden == 0 { 0 } else { clock::now() + hidden }
}

fn parts(receipt: &Receipt) -> Option<(i64, &str)> {
    let (id, nonce) = receipt.0.split_once('.')?;
    Some((id.parse().ok()?, nonce))
}

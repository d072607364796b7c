//! The operations: one table a file, one row an operation. An operation parses its request, loads
//! what it is about, checks that the caller may, changes it, and answers; it is a function of the
//! request and a [`Transaction`](super::state::Transaction) and does nothing else: what it returns
//! as an error has changed nothing.
//!
//! | file | operations |
//! |---|---|
//! | [`create`], [`sessions`] | create or join; read, update, delete, by allocation |
//! | [`instances`] | request or register, update, end; health |
//! | [`players`] | join, leave, add, remove, read |
//! | [`members`] | invite, promote, move, swap, grants, sessions to sessions |
//! | [`lookups`] | a player's sessions, short codes, platform sessions |
//! | [`backfill`] | acknowledge, update, delete |
//! | [`browser`], [`discovery`] | list and be listed; search, matchmaking |
//! | [`presence`], [`friends`] | the session that a player shows; the friend graph |
//! | [`events`], [`notifications`] | what players are told: a stream, and the notification API |
//! | [`config`] | templates, regions, request templates, health and backfill settings, connection info |
//! | [`profiles`] | matchmaking profiles and templates, launch templates |
//! | [`deserters`] | rules and marks |
//! | [`voice`] | tokens of voice vendors: not configured |
//! | [`audit`] | read and write what happened |
//! | [`sic`] | registration of servers |
//! | [`system`] | login, health of the service, metrics |

#![allow(clippy::unnecessary_wraps, reason = "handlers share a signature, and so do parsers of bodies")]

/// A row: its handler answers at once, or `later`.
macro_rules! row {
    (later $method:ident $path:literal, $operation:literal, $access:expr, $handler:path) => {
        Row {
            method: Method::$method,
            path: $path,
            operation: $operation,
            access: $access,
            run: Handler::Later($handler),
        }
    };
    ($method:ident $path:literal, $operation:literal, $access:expr, $handler:path) => {
        Row {
            method: Method::$method,
            path: $path,
            operation: $operation,
            access: $access,
            run: Handler::Now($handler),
        }
    };
}

pub mod audit;
pub mod backfill;
pub mod browser;
pub mod config;
pub mod create;
pub mod deserters;
pub mod discovery;
pub mod events;
pub mod friends;
pub mod instances;
pub mod lookups;
pub mod members;
pub mod notifications;
pub mod players;
pub mod presence;
pub mod profiles;
pub mod sessions;
pub mod sic;
pub mod system;
pub mod voice;

use super::http::route::Row;

/// All tables.
pub fn tables() -> Vec<&'static [Row]> {
    vec![
        create::TABLE,
        sessions::TABLE,
        instances::TABLE,
        players::TABLE,
        members::TABLE,
        lookups::TABLE,
        backfill::TABLE,
        browser::TABLE,
        discovery::TABLE,
        presence::TABLE,
        friends::TABLE,
        events::TABLE,
        notifications::TABLE,
        config::TABLE,
        profiles::TABLE,
        deserters::TABLE,
        voice::TABLE,
        audit::TABLE,
        sic::TABLE,
        system::TABLE,
    ]
}

//! SIC: how a server registers itself as free, and learns that it was allocated.
//!
//! | route | body | answer |
//! |---|---|---|
//! | `POST /instances/sic_registration/v3/register` | [`Register`] | [`Registered`] |
//! | `POST /instances/sic_registration/v1/state?wait=SECONDS` | [`Servers`] | [`States`] |
//! | `POST /instances/sic_registration/v1/deregister` (an extension) | [`Servers`] | [`Registered`] |
//! | `POST /instances/sic_registration/v1/release` (an extension, for operators) | [`Servers`] | [`Registered`] |
//!
//! Extensions are passed over by another service and left out by another client.

use super::{
    ids::{AllocationId, KeeperId, SessionId},
    wire::{
        rules::{any_text, ident, list, listed, text, whole},
        wire, words,
    },
};
use semver::Version;
use serde::{Deserialize, Serialize};

/// `error_code` of an item that went well.
pub const OK: i32 = 0;
/// Our service doesn't know the id: register again.
pub const UNKNOWN_SERVER: i32 = 2;
/// What a server says of itself is too long.
pub const BAD_SERVER: i32 = 3;
/// Too many servers are registered: try again later.
pub const FULL: i32 = 5;
/// The id belongs to another client, or to another life of the server that was heard of lately: try again later.
pub const TAKEN: i32 = 4;
/// An allocation is under way already: poll on.
pub const ALLOCATION_UNDER_WAY: i32 = 6;

/// The most items in one call.
pub const MAX_ITEMS: usize = 100;

wire! {
    /// Servers that are free.
    pub struct Register [derive(Eq)] {
        required items: Vec<RegisterItem> = list(1, MAX_ITEMS);
    }
}

wire! {
    /// One server that is free.
    pub struct RegisterItem [derive(Eq, Default)] {
        /// `sic_HOST_PORT`.
        required id: String = ident();
        /// `profile_id:P,server_id:S,hostname:H`
        default group_tags: String = any_text();
        required public_host: String = text(1, 255);
        required public_port: u16 = whole(1, 65_535);
        /// Extension: which life of the server this is. The same one registers idempotently; a new one closes what the old one
        /// hosted.
        optional incarnation: KeeperId;
        /// Extension: the life before this one. Whoever knows it takes over at once.
        optional previous_incarnation: KeeperId;
        /// Extension: the map of a game that is already up.
        optional warm_map: String = any_text();
        /// Extension: the game's version.
        optional version: Version;
        /// Extension: the region that it serves.
        optional region_id: String = ident();
    }
}

wire! {
    /// What became of each server, in the order of the request.
    pub struct Registered [derive(Eq)] {
        required items: Vec<RegisteredItem> = listed();
    }
}

wire! {
    /// What became of one server.
    pub struct RegisteredItem [derive(Eq)] {
        required success: bool;
        /// 0: fine. 2: no such registration. 3: too long. 4: taken, 5: too many servers, try
        /// again. 6: an allocation is under way, poll its state.
        always error_code: i32 = whole(i64::from(i32::MIN), i64::from(i32::MAX));
        always error_message: String = any_text();
    }
}

wire! {
    /// Servers that are asked about, or withdrawn.
    pub struct Servers [derive(Eq)] {
        required items: Vec<Server> = list(1, MAX_ITEMS);
    }
}

wire! {
    /// One server.
    pub struct Server [derive(Eq)] {
        required id: String = ident();
        /// Extension: the allocation that the asker already knows. With `wait`, `allocated` with this id is no news, and held back.
        optional allocation_id: AllocationId;
    }
}

wire! {
    /// How each server stands, in the order of the request. With `wait` the answer is held until there is news, at most that
    /// long.
    pub struct States [derive(Eq)] {
        required items: Vec<StateItem> = listed();
    }
}

wire! {
    /// How one server stands.
    pub struct StateItem [derive(Eq, Default)] {
        required success: bool;
        /// 0: fine. 2: no such registration, register.
        always error_code: i32 = whole(i64::from(i32::MIN), i64::from(i32::MAX));
        always error_message: String = any_text();
        /// A failed item has none.
        optional state: ServerState;
        /// Only of a server that is allocated.
        optional allocation_id: AllocationId;
        /// Only of a server that is allocated.
        optional session_id: SessionId;
    }
}

words!(ServerState);

/// Where a registered server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Free: waiting for an allocation.
    Allocating,
    Allocated,
    Deallocated,
}

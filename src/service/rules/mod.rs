//! What may happen to a session: pure functions on a [`record::SessionRecord`]. No clock, no store,
//! no network.
//!
//! | file | rules |
//! |---|---|
//! | [`record`] | what a session is made of |
//! | [`authz`] | who may do what in it |
//! | [`join`], [`leave`] | coming and going; leadership and succession |
//! | [`teams`] | sizes, overflow, moves, swaps |
//! | [`instance`] | a host's term: statuses and allocation ids |
//! | [`health`] | missed checks |
//! | [`search`] | which sessions a search finds, best first |
//! | [`view`] | what a caller sees: full or limited; entity tags |

pub(crate) mod authz;
pub(crate) mod health;
pub(crate) mod instance;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod record;
pub(crate) mod search;
pub(crate) mod teams;
pub(crate) mod view;

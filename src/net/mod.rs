//! HTTP on the sockets of this machine: one layer for the agent's API, the session service, the
//! command line and the practice game.
//!
//! ```text
//!   Listener ──► server::serve ──► place? ──► TLS? ──► write time-out ──► hyper ──► handler(peer, request)
//!   TCP, unix        one loop       limits                                            │ origin, body, error, sse
//!                                                                                     ▼
//!   client ──► Address ──► request ──► response ──► sse::Reader                    response
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`listener`] | what is listened on, and who is at the other end of a connection |
//! | [`server`] | the accept loop: places, header and handshake time-outs, the orderly end |
//! | `waiting` | which connections wait for a request, and can make room |
//! | [`stream`] | one connection's bytes: TCP, TLS or unix |
//! | [`tls`] | a certificate and its key, read again on demand |
//! | [`write_timeout`] | a connection whose other end reads nothing is given up |
//! | [`origin`] | `Host` and `Origin`: web pages have no business here |
//! | [`body`] | a request's body, bounded in bytes and time |
//! | [`error`] | an API's error as an answer |
//! | [`rate`] | how fast somebody may ask |
//! | [`sse`] | server-sent events: writing and reading them |
//! | [`client`] | requests to a server on this machine |
//!
//! Invariants: everything is bounded (connections, header, body, handshake, events); the trouble of
//! one connection, a panic included, is its own; what an error looks like on the wire is the
//! business of the API that answers it.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod listener;
pub(crate) mod origin;
pub(crate) mod rate;
pub(crate) mod server;
pub(crate) mod sse;
pub(crate) mod stream;
pub(crate) mod tls;
mod waiting;
pub(crate) mod write_timeout;

pub(crate) use client::{Address, Client};
pub(crate) use error::ErrorResponse;
pub(crate) use listener::{Listener, Peer};

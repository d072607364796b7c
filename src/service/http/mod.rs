//! HTTP: reading requests, finding their operation, answering.
//!
//! | file | holds |
//! |---|---|
//! | [`route`] | the router: pattern → row |
//! | [`request`] | a request as a handler sees it |
//! | [`reply`] | answers and refusals |
//! | `hosts` | by which names the service may be reached, and from which web pages |
//! | [`rate`] | how fast a caller may ask |
//! | [`answer`] | one request from its bytes to its answer |
//! | [`serve`] | listeners and their limits |

pub(crate) mod answer;
mod hosts;
pub(crate) mod rate;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod serve;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::convert::Infallible;

/// What an operation answers: something finished, or a stream of server-sent events.
pub enum Answer {
    Reply(reply::Reply),
    Events(BoxStream<'static, Result<Bytes, Infallible>>),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Reply(reply) => reply.fmt(f),
            Answer::Events(_) => f.write_str("Events"),
        }
    }
}

impl From<reply::Reply> for Answer {
    fn from(reply: reply::Reply) -> Answer {
        Answer::Reply(reply)
    }
}

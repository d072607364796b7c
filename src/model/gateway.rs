//! What a keeper and its SDK gateway say to each other: one JSON object a message, over a unix
//! socket that keeps messages apart (`SOCK_SEQPACKET`).
//!
//! ```text
//!   keeper ──► gateway   {"say":"agent","listeners":["sdk","gsdk"]}   with descriptors
//!                        {"say":"end"}
//!   gateway ──► keeper   {"say":"ended","words":"…"}                  the last message
//! ```
//!
//! Invariants:
//! - Additive: a released member or word never changes its meaning. A reader ignores members and
//!   messages that it doesn't know.
//! - The gateway ends when the keeper closes the socket.

use serde::{Deserialize, Serialize};

/// The gateway's end of the socket. It blocks, unless the gateway changes that.
pub const CONTROL_FD: i32 = 3;
/// The longest message, in bytes: the longest words fit in with every character escaped once. It is below what a unix socket takes
/// by default.
pub const MAX_MESSAGE_BYTES: usize = 160 * 1024;
/// The most that a gateway may hand over for the exit report, in bytes.
pub const MAX_WORDS_BYTES: usize = 64 * 1024;

/// What the keeper says to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum KeeperToGateway {
    /// A new agent: the first descriptor is the gateway's end of a stream socket pair to it, the others are the game-facing sockets
    /// of these names, in this order. None of them blocks. An older agent's connection counts no more.
    Agent { listeners: Vec<String> },
    /// The run has ended: read out, hand over what no agent has acknowledged, end.
    End,
}

/// What the gateway says to the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum GatewayToKeeper {
    /// The last message. `words`: what the game said that no agent has acknowledged, opaque, at most [`MAX_WORDS_BYTES`].
    Ended {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        words: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_messages_stay_readable() {
        let agent: KeeperToGateway = serde_json::from_str(r#"{"say":"agent","listeners":["sdk"],"later":1}"#).unwrap();
        assert_eq!(agent, KeeperToGateway::Agent { listeners: vec!["sdk".into()] });
        assert_eq!(serde_json::from_str::<KeeperToGateway>(r#"{"say":"end"}"#).unwrap(), KeeperToGateway::End);
        let ended: GatewayToKeeper = serde_json::from_str(r#"{"say":"ended"}"#).unwrap();
        assert_eq!(ended, GatewayToKeeper::Ended { words: None });
        let ended: GatewayToKeeper = serde_json::from_str(r#"{"say":"ended","words":"w","later":{}}"#).unwrap();
        assert_eq!(ended, GatewayToKeeper::Ended { words: Some("w".into()) });
    }

    #[test]
    fn the_longest_words_fit_into_a_message() {
        let words = "\"".repeat(MAX_WORDS_BYTES);
        let text = serde_json::to_string(&GatewayToKeeper::Ended { words: Some(words) }).unwrap();
        assert!(text.len() <= MAX_MESSAGE_BYTES);
    }
}

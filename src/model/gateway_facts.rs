//! What the agent learns of the process that serves the game's SDK.

/// A fact about the SDK gateway of the present run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayFact {
    /// The agent talks to it.
    Linked {
        pid: i32,
        build: String,
        /// The agent serves the SDK itself, with the same code.
        in_process: bool,
    },
    /// It has delivered everything that it still owed from before it was linked.
    Heard,
    /// It is gone, or the agent can't talk to it any more.
    Lost { why: String },
}

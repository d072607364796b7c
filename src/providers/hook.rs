//! Somebody posts allocations to the agent's operator API: `POST /v1/allocation`, or
//! `gameside allocate NAME --map …`.
//!
//! The order reaches the core through the native API, which answers once the core has accepted or
//! refused it: this provider has nothing to do. The body is an [`Allocation`]. A repeated
//! `allocation_id` gets the same answer; another allocation while the agent is busy is refused.
//!
//! [`Allocation`]: crate::model::allocation::Allocation

use super::Context;

/// Keeps the channel of events open for as long as offers may come.
pub(super) async fn run(mut context: Context) {
    while !context.events.is_closed() && context.offers.changed().await.is_ok() {}
}

//! Somebody posts allocations to the agent's operator API: `POST /v1/allocation`, or `gameside allocate NAME --map …`.
//!
//! The order reaches the core through the native API, which answers it once the core has accepted or refused it; so there is
//! nothing to do here. The body is an [`Allocation`]; a repeated `allocation_id` gets the same answer, another while busy
//! is refused.
//!
//! [`Allocation`]: crate::model::allocation::Allocation

use super::{Offer, ProviderEvent};
use tokio::sync::{mpsc, watch};

/// Keeps the channel of events open for as long as offers may come.
pub(super) async fn run(mut offers: watch::Receiver<Offer>, events: mpsc::Sender<ProviderEvent>) {
    while !events.is_closed() && offers.changed().await.is_ok() {}
}

//! The agent makes a session of its own whenever it is free: each offer is answered at once with an
//! allocation that names no session.

use super::{Offer, ProviderEvent};
use crate::model::{allocation::Allocation, ids::AllocationId};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

pub(super) async fn run(mut offers: watch::Receiver<Offer>, events: mpsc::Sender<ProviderEvent>) {
    loop {
        let open = matches!(&*offers.borrow_and_update(), Offer::Open { .. });
        if open && events.send(ProviderEvent::Allocated(allocation())).await.is_err() {
            return;
        }
        if offers.changed().await.is_err() {
            return;
        }
    }
}

/// A new one each time: a repeated id would be taken for the allocation before.
fn allocation() -> Allocation {
    Allocation {
        allocation_id: AllocationId::from_uuid(Uuid::new_v4()),
        session_id: None,
        startup_params: None,
        players: Vec::new(),
        expires: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(events: &mut mpsc::Receiver<ProviderEvent>) -> Allocation {
        match events.recv().await {
            Some(ProviderEvent::Allocated(allocation)) => allocation,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn every_offer_gets_an_allocation_of_its_own() {
        let (offer, offers) = watch::channel(Offer::Withdrawn);
        let (to, mut events) = mpsc::channel(1);
        let running = tokio::spawn(run(offers, to));
        let open = Offer::Open { warm_map: None, version: None };
        offer.send_replace(open.clone());
        let first = next(&mut events).await;
        assert_eq!(first.session_id, None);
        offer.send_replace(Offer::Withdrawn);
        offer.send_replace(open);
        assert_ne!(next(&mut events).await.allocation_id, first.allocation_id);
        drop(offer);
        running.await.unwrap();
        assert_eq!(events.recv().await, None);
    }
}

//! Runs the provider of allocations. It is started anew with each new keeper: the session service
//! takes that for a new incarnation of this server, which registers again and names those before.

use crate::{
    model::ids::KeeperId,
    providers::{self, Incarnations, Offer, ProviderEvent, ProviderSettings},
    session_api::agent::SessionClient,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Holds the provider's task, and starts it anew for a new keeper.
#[derive(Debug)]
pub struct Provider {
    settings: ProviderSettings,
    session_client: SessionClient,
    offers: watch::Sender<Offer>,
    events: mpsc::Sender<ProviderEvent>,
    /// The present keeper's id, and those before it.
    incarnations: Option<Incarnations>,
    task: Option<JoinHandle<()>>,
}

impl Provider {
    /// Nothing runs before the first keeper is known. Events come through the receiver.
    pub fn new(settings: ProviderSettings, session_client: SessionClient) -> (Self, mpsc::Receiver<ProviderEvent>) {
        let (events, receiver) = mpsc::channel(16);
        let offers = watch::Sender::new(Offer::Withdrawn);
        (Provider { settings, session_client, offers, events, incarnations: None, task: None }, receiver)
    }

    /// Starts under this keeper's id. `met`: the keepers that were met before, the latest first.
    pub fn restart_for(&mut self, keeper: KeeperId, mut met: Vec<KeeperId>) {
        met.retain(|former| *former != keeper);
        self.restart(Incarnations { present: keeper, former: met });
    }

    fn restart(&mut self, incarnations: Incarnations) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.incarnations = Some(incarnations.clone());
        let offers = self.offers.subscribe();
        let mut from = providers::start(self.settings.clone(), self.session_client.clone(), offers, incarnations);
        let to = self.events.clone();
        self.task = Some(tokio::spawn(async move {
            while let Some(event) = from.recv().await {
                if to.send(event).await.is_err() {
                    return;
                }
            }
        }));
    }

    /// The game has another port, which is a part of this server's identity where it registers: it begins anew there.
    pub fn set_port(&mut self, port: u16) {
        match &mut self.settings {
            ProviderSettings::Sic(sic) if sic.public_port != port => sic.public_port = port,
            ProviderSettings::Sic(_) | ProviderSettings::Auto | ProviderSettings::Hook => return,
        }
        if let Some(incarnations) = self.incarnations.clone() {
            self.restart(incarnations);
        }
    }

    /// The newest offer counts.
    pub fn offer(&self, offer: Offer) {
        self.offers.send_replace(offer);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

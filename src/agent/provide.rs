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

/// So many former keepers may be named.
const MAX_FORMER: usize = 4;

/// Holds the provider's task, and starts it anew for a new keeper.
#[derive(Debug)]
pub struct Provider {
    settings: ProviderSettings,
    session_client: SessionClient,
    offers: watch::Sender<Offer>,
    events: mpsc::Sender<ProviderEvent>,
    keeper: Option<KeeperId>,
    /// The keepers before it, the latest first.
    former: Vec<KeeperId>,
    task: Option<JoinHandle<()>>,
}

impl Provider {
    /// Nothing runs before the first keeper is known. `former`: the keepers that earlier lives of this agent met, the
    /// latest first. Events come through the receiver.
    pub fn new(
        settings: ProviderSettings,
        session_client: SessionClient,
        former: Vec<KeeperId>,
    ) -> (Self, mpsc::Receiver<ProviderEvent>) {
        let (events, receiver) = mpsc::channel(16);
        let offers = watch::Sender::new(Offer::Withdrawn);
        (Provider { settings, session_client, offers, events, keeper: None, former, task: None }, receiver)
    }

    /// Starts under this keeper's id.
    pub fn restart_for(&mut self, keeper: KeeperId) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        if let Some(before) = self.keeper.replace(keeper.clone()) {
            self.former.insert(0, before);
        }
        self.former.retain(|former| *former != keeper);
        self.former.truncate(MAX_FORMER);
        let incarnations = Incarnations { present: keeper, former: self.former.clone() };
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
        if let Some(keeper) = self.keeper.clone() {
            self.restart_for(keeper);
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

//! The friend graph of another service: who a player's friends are, asked there and remembered for
//! a while.
//!
//! ```text
//!   handler ── Need::Friends ──────► RemoteFriends::friends_of ── remembered? ──────────────────────────► set of friends
//!      ▲                            ├─ failed a moment ago? ──────────────────────────────► nobody knows
//!      └── runs again with it ◄──   └─ GET /friends/v2/player/{uuid}/friend, page by page ─► set of friends, or nobody knows
//! ```
//!
//! | what happens there | what follows here |
//! |---|---|
//! | an answer | it counts for `friends.keep` |
//! | that player is refused (400, 404, 409, 422) | nobody knows that player's friends for `friends.retry` |
//! | no answer within `friends.timeout`, a refused login, a 5xx, nonsense | nobody is asked for `friends.retry`; said once in the log |
//!
//! Who nobody knows to be a friend is none: whatever only friends may do is refused with 403
//! `friends_unavailable`, and everything else goes on. Invariants: at most [`LANES`] requests are
//! under way, one for a player; what is remembered is bounded; no request waits longer than
//! `friends.timeout` for it.

pub(crate) mod settings;

pub(crate) use settings::FriendsSettings;

use crate::{
    model::{
        calls::Refusal,
        friends::{FriendsList, FriendshipStatus},
        ids::PlayerUuid,
    },
    session_api::{ApiClient, CallError, ConnectionSettings, Credentials, LoginError, Secret, SetupError, endpoints},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// Requests under way at a time.
const LANES: usize = 16;
/// Relationships asked for at a time: notes of 4000 characters and all, an answer stays below what is read.
const PAGE: u32 = 500;
/// Relationships of one player that are read; those beyond aren't seen.
const MOST: u32 = 10_000;

/// A player's friends; none while nobody knows.
pub(crate) type Friends = Option<Arc<HashSet<PlayerUuid>>>;

/// What was found for a request.
#[derive(Debug, Clone)]
pub struct Found {
    pub player: PlayerUuid,
    pub friends: Friends,
}

/// Another service's graph.
#[derive(Debug)]
pub(crate) struct RemoteFriends {
    settings: FriendsSettings,
    api: Arc<ApiClient>,
    lanes: [tokio::sync::Mutex<()>; LANES],
    known: Mutex<AnswerCache>,
}

/// What is remembered.
#[derive(Debug, Default)]
struct AnswerCache {
    answers: HashMap<PlayerUuid, Answer>,
    /// The order in which the answers came; one that was replaced stands here more than once.
    order: VecDeque<(PlayerUuid, Instant)>,
    /// Players and friends in all answers.
    weight: usize,
    /// Nobody is asked before.
    away_until: Option<Instant>,
}

#[derive(Debug)]
struct Answer {
    friends: Friends,
    came: Instant,
    until: Instant,
}

/// Why there is no answer.
enum GraphError {
    /// For this player there is none.
    Player(String),
    /// That service doesn't answer anybody.
    Service(String),
}

impl RemoteFriends {
    /// Sets the client up; nothing is asked before the first player.
    pub(crate) fn new(settings: FriendsSettings) -> Result<RemoteFriends, SetupError> {
        let bad = |_| SetupError::Url { url: settings.url.clone(), why: "it is no URL" };
        let credentials = match (&settings.token_file, &settings.client_secret_file) {
            (Some(file), _) => Credentials::Token(Secret::File(file.clone())),
            (None, file) => {
                let secret = Secret::File(file.clone().unwrap_or_default());
                Credentials::Client { id: settings.client_id.clone(), secret }
            }
        };
        let api = ApiClient::new(&ConnectionSettings {
            base_url: settings.url.parse().map_err(bad)?,
            unix_socket: None,
            ca_file: settings.ca_file.clone(),
            credentials,
            user_agent: concat!("gameside-sessions/", env!("CARGO_PKG_VERSION")).to_owned(),
        })?;
        Ok(RemoteFriends { settings, api, lanes: <_>::default(), known: Mutex::default() })
    }

    /// Whether these are the settings that it works with.
    pub(crate) fn is_for(&self, settings: &FriendsSettings) -> bool {
        self.settings == *settings
    }

    /// A player's friends.
    pub(crate) async fn friends_of(&self, player: PlayerUuid) -> Friends {
        if let Some(answer) = self.known().get(player) {
            return answer;
        }
        let patience = self.settings.timeout.get();
        match tokio::time::timeout(patience, self.asked(player)).await {
            Ok(friends) => friends,
            Err(_) => self.failed(player, GraphError::Service(format!("no answer within {}", self.settings.timeout))),
        }
    }

    /// Asks, alone with everybody who wants the same player.
    async fn asked(&self, player: PlayerUuid) -> Friends {
        let _lane = self.lanes[(player.0.as_u128() % LANES as u128) as usize].lock().await;
        if let Some(answer) = self.known().get(player) {
            return answer;
        }
        match self.read(player).await {
            Ok(friends) => self.answered(player, friends),
            Err(why) => self.failed(player, why),
        }
    }

    async fn read(&self, player: PlayerUuid) -> Result<HashSet<PlayerUuid>, GraphError> {
        let mut friends = HashSet::new();
        for page in 0..MOST / PAGE {
            let list = self.page(player, page).await?;
            let last = (page + 1) * PAGE >= list.page.total || list.friends.is_empty();
            let are = list.friends.into_iter().filter(|side| side.status == FriendshipStatus::Friends);
            friends.extend(are.map(|side| side.friends_player_uuid));
            if last {
                break;
            }
        }
        Ok(friends)
    }

    async fn page(&self, player: PlayerUuid, page: u32) -> Result<FriendsList, GraphError> {
        let request = endpoints::page_of_friends(player, page, PAGE).map_err(|refusal| why(refusal.into()))?;
        self.api.call(&request, self.settings.timeout.get()).await.map_err(why)
    }

    fn answered(&self, player: PlayerUuid, friends: HashSet<PlayerUuid>) -> Friends {
        let mut known = self.known();
        if known.away_until.take().is_some() {
            tracing::info!(url = self.settings.url, "the friend graph can be read again");
        }
        let friends = Some(Arc::new(friends));
        known.remember(player, friends.clone(), self.settings.keep.get(), self.settings.remembered as usize);
        friends
    }

    fn failed(&self, player: PlayerUuid, lost: GraphError) -> Friends {
        let (url, retry) = (&self.settings.url, self.settings.retry.get());
        let mut known = self.known();
        match lost {
            GraphError::Player(why) => {
                tracing::warn!(url, %player, why, "the friend graph refuses a player: it counts as without friends for now");
                known.remember(player, None, retry, self.settings.remembered as usize);
            }
            GraphError::Service(why) => {
                if known.away_until.replace(Instant::now() + retry).is_none() {
                    tracing::warn!(url, why, "the friend graph can't be read: what only friends may do is refused");
                }
            }
        }
        None
    }

    fn known(&self) -> MutexGuard<'_, AnswerCache> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AnswerCache {
    /// What is known of a player without asking.
    fn get(&self, player: PlayerUuid) -> Option<Friends> {
        let now = Instant::now();
        match self.answers.get(&player) {
            Some(answer) if answer.until > now => Some(answer.friends.clone()),
            _ => self.away_until.is_some_and(|until| until > now).then_some(None),
        }
    }

    fn remember(&mut self, player: PlayerUuid, friends: Friends, keep: std::time::Duration, most: usize) {
        let came = Instant::now();
        let answer = Answer { friends, came, until: came + keep };
        self.weight += answer.weight();
        if let Some(old) = self.answers.insert(player, answer) {
            self.weight -= old.weight();
        }
        self.order.push_back((player, came));
        // What was replaced stays in the order until its turn comes; that mustn't grow without end
        // either.
        while self.weight > most || self.order.len() > 2 * self.answers.len() + LANES {
            let Some((oldest, came)) = self.order.pop_front() else { break };
            if self.answers.get(&oldest).is_some_and(|answer| answer.came == came) {
                self.weight -= self.answers.remove(&oldest).map_or(0, |answer| answer.weight());
            }
        }
    }
}

impl Answer {
    fn weight(&self) -> usize {
        1 + self.friends.as_ref().map_or(0, |friends| friends.len())
    }
}

fn why(done: CallError) -> GraphError {
    match done {
        CallError::Login(LoginError::Refused(why)) => GraphError::Service(format!("the login was refused: {why}")),
        CallError::Login(LoginError::Trouble(refusal)) => GraphError::Service(refusal.to_string()),
        CallError::Call(refusal) => match refusal {
            Refusal::SessionNotFound
            | Refusal::NotFound { .. }
            | Refusal::Conflict { .. }
            | Refusal::Invalid { .. }
            | Refusal::Gone => GraphError::Player(refusal.to_string()),
            Refusal::NoSuchApi
            | Refusal::Credentials { .. }
            | Refusal::Busy { .. }
            | Refusal::Unreachable { .. }
            | Refusal::Ambiguous { .. } => GraphError::Service(refusal.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn player(n: u128) -> PlayerUuid {
        PlayerUuid(uuid::Uuid::from_u128(n))
    }
    fn friends(count: u128) -> Arc<HashSet<PlayerUuid>> {
        Arc::new((1000..1000 + count).map(player).collect())
    }
    const KEEP: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded_and_ends() {
        let mut known = AnswerCache::default();
        for n in 0..4 {
            known.remember(player(n), Some(friends(9)), KEEP, 30);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let there = |known: &AnswerCache| (0..4).map(|n| known.get(player(n)).is_some()).collect::<Vec<_>>();
        assert_eq!((there(&known), known.weight), (vec![false, true, true, true], 30), "the oldest went");
        known.remember(player(9), Some(friends(100)), KEEP, 30);
        assert_eq!((known.answers.len(), known.weight), (0, 0), "one that is too large isn't kept");
        for _ in 0..1000 {
            known.remember(player(1), Some(friends(1)), KEEP, 30);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(known.order.len() <= 2 + LANES && known.weight == 2, "{} {}", known.order.len(), known.weight);
        tokio::time::advance(KEEP).await;
        assert_eq!(known.get(player(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn while_that_service_is_away_nobody_is_asked() {
        let mut known = AnswerCache { away_until: Some(Instant::now() + KEEP), ..AnswerCache::default() };
        known.remember(player(1), Some(friends(1)), KEEP, 30);
        assert_eq!((known.get(player(1)), known.get(player(2))), (Some(Some(friends(1))), Some(None)));
        tokio::time::advance(KEEP).await;
        assert_eq!(known.get(player(2)), None, "it is asked again");
    }
}

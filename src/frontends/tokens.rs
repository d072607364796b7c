//! Who a bearer token speaks for.

use crate::model::ids::RunNumber;
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Mutex, PoisonError};

/// Whom a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    Operator,
    /// The game, in this run and no other.
    Game(RunNumber),
}

/// Knows tokens. Must compare in constant time ([`same`]).
pub trait Tokens: Send + Sync {
    fn bearer(&self, token: &str) -> Option<Bearer>;
    /// The run that goes by this [`host_id`].
    fn host(&self, id: &str) -> Option<RunNumber>;
}

/// A run's name where a protocol has no room for a token: made of it, and as hard to guess.
pub(crate) fn host_id(token: &SecretString) -> uuid::Uuid {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, token.expose_secret().as_bytes())
}

/// The two tokens of an agent: the operator's, for life, and the game's, until the next run begins.
///
/// A run's token outlives its process on purpose: what a game said in its last instant is still read after its end.
pub struct TokenStore {
    operator: SecretString,
    game: Mutex<Option<(RunNumber, SecretString)>>,
}

impl TokenStore {
    pub fn new(operator: SecretString) -> Self {
        TokenStore { operator, game: Mutex::new(None) }
    }

    /// From now on this is the game's token. To be called before the run is started, and before serving when one is adopted.
    pub fn set_game(&self, run: RunNumber, token: SecretString) {
        *self.game.lock().unwrap_or_else(PoisonError::into_inner) = Some((run, token));
    }
}

impl Tokens for TokenStore {
    fn bearer(&self, token: &str) -> Option<Bearer> {
        let game = self.game.lock().unwrap_or_else(PoisonError::into_inner);
        let game = game.as_ref().filter(|(_, known)| same(known.expose_secret(), token)).map(|(run, _)| *run);
        if same(self.operator.expose_secret(), token) { Some(Bearer::Operator) } else { game.map(Bearer::Game) }
    }

    fn host(&self, id: &str) -> Option<RunNumber> {
        let game = self.game.lock().unwrap_or_else(PoisonError::into_inner);
        game.as_ref().filter(|(_, token)| same(&host_id(token).to_string(), id)).map(|(run, _)| *run)
    }
}

impl std::fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenStore")
    }
}

/// Whether two secrets are equal, in a time that depends on the length of `given` alone. An empty secret equals nothing.
pub(crate) fn same(known: &str, given: &str) -> bool {
    let (known, given) = (known.as_bytes(), given.as_bytes());
    if known.is_empty() {
        return false;
    }
    let mut differ = u8::from(known.len() != given.len());
    for (at, byte) in given.iter().enumerate() {
        differ |= std::hint::black_box(byte ^ known[at % known.len()]);
    }
    std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_speaks_for_its_holder_alone_and_the_games_for_one_run() {
        let store = TokenStore::new("operator".into());
        assert_eq!(store.bearer("operator"), Some(Bearer::Operator));
        for wrong in ["", "o", "operatoroperator", "operatox", "OPERATOR"] {
            assert_eq!(store.bearer(wrong), None, "{wrong}");
        }
        store.set_game(RunNumber(1), "first".into());
        assert_eq!(store.bearer("first"), Some(Bearer::Game(RunNumber(1))));
        store.set_game(RunNumber(2), "second".into());
        assert_eq!(store.bearer("first"), None);
        assert_eq!(store.bearer("second"), Some(Bearer::Game(RunNumber(2))));
        let id = |token: &str| host_id(&token.into()).to_string();
        assert_eq!(store.host(&id("second")), Some(RunNumber(2)));
        assert_eq!((store.host(&id("first")), store.host("second"), store.host("")), (None, None, None));
    }

    #[test]
    fn an_empty_secret_admits_nobody() {
        let store = TokenStore::new(String::new().into());
        assert_eq!(store.bearer(""), None);
    }
}

//! Finding sessions, reading and joining them.

use super::{ClientError, CreateSession, Sessions, error::Operation};
use crate::{
    model::{
        CustomData,
        calls::Refusal,
        discovery,
        discovery::SessionSearch,
        errors::codes,
        ids::{PlayerUuid, SessionId},
        player::{PlayerSessions, SelfSessionPlayerUpdateRequest, SessionTeam},
        session::Session,
    },
    session_api::endpoints,
};

/// How to join a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JoinSession {
    /// The team; without it the one where a place is held, else the first with room.
    pub team: Option<u32>,
    pub password: Option<String>,
    /// The member whose friend the player is; without it any member counts.
    pub friend: Option<PlayerUuid>,
    /// What the player shows to the session's members.
    pub custom_data: CustomData,
}

/// What to look for, and what to make where nothing fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Matchmaking {
    pub search: SessionSearch,
    /// Its name is given to the session either way.
    pub create: CreateSession,
}

impl Sessions {
    /// `GetAllSessions`: every session that the player is a member of. One that ends meanwhile is left out.
    pub async fn get_all_sessions(&self) -> Result<Vec<Session>, ClientError> {
        let own = self.own_sessions("list the player's sessions").await?;
        let mut sessions = Vec::new();
        for id in own.sessions.into_values().flat_map(|of_type| of_type.session_ids) {
            match self.get_session_by_id(&id).await {
                Ok(session) => sessions.push(session),
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sessions)
    }

    /// What the player is in and invited to. `doing`: what for.
    pub(super) async fn own_sessions(&self, doing: &str) -> Result<PlayerSessions, ClientError> {
        self.call(&Operation::new(doing), endpoints::OWN_SESSIONS.request([])).await
    }

    /// `GetSessionByName`: by this handle's name for it.
    pub async fn get_session_by_name(&self, name: &str) -> Result<Session, ClientError> {
        self.get_session_by_id(&self.named(name)?).await
    }

    /// `GetSessionById`: by id or short code. A player who is no member sees only a part of it.
    pub async fn get_session_by_id(&self, session: &SessionId) -> Result<Session, ClientError> {
        Ok(self.read_session(&Operation::on("read", session), session).await?.session)
    }

    /// `FindSessions`: ids, best first, of sessions that are listed or that the caller could join.
    pub async fn find_sessions(&self, search: &SessionSearch) -> Result<Vec<SessionId>, ClientError> {
        let request = endpoints::SEARCH_SESSIONS.request_with([], search);
        Ok(self.call(&Operation::new("search sessions"), request).await?.session_ids)
    }

    /// `JoinSession`, by id or short code; the session gets this name.
    pub async fn join_session(
        &self,
        name: &str,
        session: &SessionId,
        how: JoinSession,
    ) -> Result<Session, ClientError> {
        if self.names().get(name).is_none_or(|named| named != session) {
            self.is_free(name).await?;
        }
        let operation = Operation::on("join", session);
        let player = self.myself().await?;
        let seen = self.read_session(&operation, session).await?.session;
        let session = seen.session_id;
        let body = SelfSessionPlayerUpdateRequest {
            status: None,
            client_version: self.0.client_version.clone(),
            client_settings: self.0.client_settings.clone(),
            team_id: how.team.unwrap_or_else(|| team_for(&seen.teams, player)),
            crossplay_preferences: None,
            custom_data: how.custom_data,
            password: how.password.map(Into::into),
            friend_uuid: how.friend,
        };
        self.call(&operation, endpoints::JOIN_SESSION.request_with([&session], &body)).await?;
        self.keep(name, session.clone());
        self.get_session_by_id(&session).await
    }

    /// `StartMatchmaking`: joins the best session that fits, else creates one. Two callers never both create where one could
    /// have joined. Tells whether the session is new.
    pub async fn start_matchmaking(&self, wanted: Matchmaking) -> Result<(Session, bool), ClientError> {
        self.is_free(&wanted.create.name).await?;
        let body = discovery::Matchmaking { search: wanted.search, create: self.creation(&wanted.create) };
        let request = endpoints::MAKE_MATCH.request_with([], &body);
        let matched = self.call(&Operation::new("make a match"), request).await?;
        self.keep(wanted.create.name, matched.session_id.clone());
        Ok((self.get_session_by_id(&matched.session_id).await?, matched.created))
    }

    /// The session that another player shows to friends, if any.
    pub async fn get_presence_session_of(&self, player: PlayerUuid) -> Result<Option<SessionId>, ClientError> {
        let operation = Operation::new(format!("see the presence session of player {player}"));
        self.presence(&operation, endpoints::PRESENCE_OF.request([&player])).await
    }
}

/// The team on which a place is held for the player, else the first with room, else the first.
fn team_for(teams: &[SessionTeam], player: PlayerUuid) -> u32 {
    let held = teams.iter().position(|team| team.players.iter().any(|known| known.player_uuid == player));
    let free = || teams.iter().position(|team| team.players.len() < team.max_size as usize);
    held.or_else(free).unwrap_or(0) as u32
}

/// Whether an error says that there is no such thing, rather than that something went wrong.
pub(super) fn is_missing(error: &ClientError) -> bool {
    matches!(error, ClientError::Service { why: Refusal::NotFound { code }, .. } if code != codes::NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn a_held_place_wins_over_free_ones() {
        let player = |n: u128| PlayerUuid(Uuid::from_u128(n));
        let team = |size: u32, players: &[u128]| -> SessionTeam {
            let players: Vec<_> =
                players.iter().map(|n| json!({"player_uuid": player(*n), "status": "invited"})).collect();
            serde_json::from_value(json!({"players": players, "max_size": size})).unwrap()
        };
        let teams = [team(1, &[1]), team(3, &[2]), team(4, &[3])];
        assert_eq!(team_for(&teams, player(3)), 2);
        assert_eq!(team_for(&teams, player(9)), 1);
        assert_eq!(team_for(&[team(1, &[1])], player(9)), 0, "full: the service says so");
    }
}

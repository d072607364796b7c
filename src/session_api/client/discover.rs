//! Finding sessions, reading and joining them.

use super::{ClientError, CreateSession, Sessions, error::Doing};
use crate::{
    model::{
        CustomData,
        calls::Refusal,
        discovery,
        discovery::{Matched, SearchAnswer, SessionSearch},
        errors::codes,
        ids::{PlayerUuid, SessionId},
        player::SessionTeam,
        session::Session,
    },
    session_api::segment,
};
use http::Method;
use semver::Version;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

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

#[derive(Serialize)]
struct JoinBody<'a> {
    client_version: &'a Version,
    client_settings: &'a Value,
    team_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    friend_uuid: Option<PlayerUuid>,
    #[serde(skip_serializing_if = "CustomData::is_empty")]
    custom_data: &'a CustomData,
}

/// `GET /v1/player/me/session`: what the player is in and invited to, by type.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OwnSessions {
    pub(super) sessions: BTreeMap<String, OfType>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct OfType {
    #[serde(default)]
    session_ids: Vec<SessionId>,
    /// By session.
    #[serde(default)]
    pub(super) pending_invites: BTreeMap<String, PendingInvite>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PendingInvite {
    #[serde(default)]
    pub(super) inviting_player_uuid: Option<PlayerUuid>,
    #[serde(default)]
    pub(super) invite_id: Option<Uuid>,
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

    pub(super) async fn own_sessions(&self, doing: &str) -> Result<OwnSessions, ClientError> {
        self.ask(&Doing::new(doing), Method::GET, "/session/v1/player/me/session").await
    }

    /// `GetSessionByName`: by this handle's name for it.
    pub async fn get_session_by_name(&self, name: &str) -> Result<Session, ClientError> {
        self.get_session_by_id(&self.named(name)?).await
    }

    /// `GetSessionById`: by id or short code. Who is no member sees limited results.
    pub async fn get_session_by_id(&self, session: &SessionId) -> Result<Session, ClientError> {
        Ok(self.read_session(&Doing::to("read", session), session).await?.session)
    }

    /// `FindSessions`: ids, best first, of sessions that are listed or that the caller could join.
    pub async fn find_sessions(&self, search: &SessionSearch) -> Result<Vec<SessionId>, ClientError> {
        let doing = Doing::new("search sessions");
        let found: SearchAnswer = self.send(&doing, Method::POST, "/session/v1/browser:search", search).await?;
        Ok(found.session_ids)
    }

    /// `JoinSession`, by id or short code; the session gets this name.
    pub async fn join_session(
        &self,
        name: &str,
        session: &SessionId,
        how: JoinSession,
    ) -> Result<Session, ClientError> {
        if self.names().get(name).is_none_or(|named| named != session) {
            self.is_free(name)?;
        }
        let doing = Doing::to("join", session);
        let player = self.myself().await?;
        let seen = self.read_session(&doing, session).await?.session;
        let session = seen.session_id;
        let body = JoinBody {
            client_version: &self.0.client_version,
            client_settings: &self.0.client_settings,
            team_id: how.team.unwrap_or_else(|| team_for(&seen.teams, player)),
            password: how.password.as_deref(),
            friend_uuid: how.friend,
            custom_data: &how.custom_data,
        };
        self.send::<IgnoredAny>(&doing, Method::POST, &doing.path(&session, "/player/me")?, &body).await?;
        self.keep(name, session.clone());
        self.get_session_by_id(&session).await
    }

    /// `StartMatchmaking`: joins the best session that fits, else creates one. Two callers never both create where one could
    /// have joined. Tells whether the session is new.
    pub async fn start_matchmaking(&self, wanted: Matchmaking) -> Result<(Session, bool), ClientError> {
        self.is_free(&wanted.create.name)?;
        let doing = Doing::new("make a match");
        let body = discovery::Matchmaking { search: wanted.search, create: self.creation(&wanted.create) };
        let matched: Matched = self.send(&doing, Method::POST, "/session/v1/matchmaking", &body).await?;
        self.keep(wanted.create.name, matched.session_id.clone());
        Ok((self.get_session_by_id(&matched.session_id).await?, matched.created))
    }

    /// The session that another player shows to friends, if any.
    pub async fn get_presence_session_of(&self, player: PlayerUuid) -> Result<Option<SessionId>, ClientError> {
        let doing = Doing::new(format!("see the presence session of player {player}"));
        let segment = segment(&player.to_string()).map_err(|why| doing.failed(why.into()))?;
        self.presence_at(&doing, &format!("/session/v1/player/{segment}/presence-session")).await
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

//! Invitations: sent, looked at, rejected. One is accepted by joining its session.

use super::{ClientError, Sessions, error::Doing};
use crate::model::ids::{PlayerUuid, SessionId};
use http::Method;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

/// An invitation that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInvite {
    pub invite_id: Uuid,
    /// Join it to accept.
    pub session_id: SessionId,
    pub session_type: String,
    /// Who invited; none where a server did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inviting_player_uuid: Option<PlayerUuid>,
}

#[derive(Serialize)]
struct InviteBody<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    player_uuids: &'a [PlayerUuid],
}

impl Sessions {
    /// `SendSessionInvite`: to all these players, or, if one can't be invited, to none.
    pub async fn send_session_invite(&self, name: &str, players: &[PlayerUuid]) -> Result<(), ClientError> {
        let session = self.named(name)?;
        let doing = Doing::to("invite players to", &session);
        let Some((first, others)) = players.split_first() else { return Ok(()) };
        let path = doing.path(&session, &format!("/player/{first}:invite"))?.replacen("/v1/", "/v2/", 1);
        self.send::<IgnoredAny>(&doing, Method::POST, &path, &InviteBody { player_uuids: others }).await?;
        Ok(())
    }

    /// `GetAllSessionInvites`: those that the player has received and not answered.
    pub async fn get_all_session_invites(&self) -> Result<Vec<SessionInvite>, ClientError> {
        let own = self.own_sessions("list the player's invites").await?;
        let of_type = |(session_type, of_type): (String, super::discover::OfType)| {
            of_type.pending_invites.into_iter().filter_map(move |(session, invite)| {
                Some(SessionInvite {
                    invite_id: invite.invite_id?,
                    session_id: SessionId::new(session).ok()?,
                    session_type: session_type.clone(),
                    inviting_player_uuid: invite.inviting_player_uuid,
                })
            })
        };
        Ok(own.sessions.into_iter().flat_map(of_type).collect())
    }

    /// `GetSessionInviteById`.
    pub async fn get_session_invite_by_id(&self, invite: Uuid) -> Result<SessionInvite, ClientError> {
        let invites = self.get_all_session_invites().await?;
        invites.into_iter().find(|known| known.invite_id == invite).ok_or(ClientError::NoInvite { invite })
    }

    /// `RejectSessionInvite`.
    pub async fn reject_session_invite(&self, invite: Uuid) -> Result<(), ClientError> {
        let invite = self.get_session_invite_by_id(invite).await?;
        let doing = Doing::to("reject the invite to", &invite.session_id);
        let path = doing.path(&invite.session_id, "/player/me")?;
        self.ask::<IgnoredAny>(&doing, Method::DELETE, &path).await.map(drop)
    }
}

//! Invitations: sent, looked at, rejected. One is accepted by joining its session.

use super::{ClientError, Sessions, error::Operation};
use crate::{
    model::{
        ids::{PlayerUuid, SessionId},
        player::{PlayerInviteRequest, PlayerSessionsOfType},
    },
    session_api::endpoints,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An invitation that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInvite {
    pub invite_id: Uuid,
    /// Join it to accept.
    pub session_id: SessionId,
    pub session_type: String,
    /// The player who invited; none where a server did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inviting_player_uuid: Option<PlayerUuid>,
}

impl Sessions {
    /// `SendSessionInvite`: to all these players, or, if one can't be invited, to none.
    pub async fn send_session_invite(&self, name: &str, players: &[PlayerUuid]) -> Result<(), ClientError> {
        let session = self.named(name)?;
        let Some((first, others)) = players.split_first() else { return Ok(()) };
        let body = PlayerInviteRequest { player_uuids: others.to_vec(), ..PlayerInviteRequest::default() };
        let request = endpoints::INVITE_PLAYERS.request_with([&session, first], &body);
        self.call(&Operation::on("invite players to", &session), request).await.map(drop)
    }

    /// `GetAllSessionInvites`: those that the player has received and not answered.
    pub async fn get_all_session_invites(&self) -> Result<Vec<SessionInvite>, ClientError> {
        let own = self.own_sessions("list the player's invites").await?;
        let of_type = |(session_type, of_type): (String, PlayerSessionsOfType)| {
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
        let operation = Operation::on("reject the invite to", &invite.session_id);
        self.call(&operation, endpoints::LEAVE_SESSION.request([&invite.session_id])).await.map(drop)
    }
}

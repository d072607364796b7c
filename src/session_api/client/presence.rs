//! The presence session: the one session, at most, that a player shows to friends. Leaving it
//! clears it.

use super::{ClientError, Sessions, discover::is_missing, error::Operation};
use crate::{
    model::{calls::Refusal, discovery::PresenceSession, ids::SessionId},
    session_api::endpoints::{self, ApiRequest},
};

impl Sessions {
    /// `GetPresenceSession`; none where the player shows none.
    pub async fn get_presence_session(&self) -> Result<Option<SessionId>, ClientError> {
        self.presence(&Operation::new("read the presence session"), endpoints::OWN_PRESENCE.request([])).await
    }

    pub(super) async fn presence(
        &self,
        operation: &Operation,
        request: Result<ApiRequest<PresenceSession>, Refusal>,
    ) -> Result<Option<SessionId>, ClientError> {
        match self.call(operation, request).await {
            Ok(presence) => Ok(Some(presence.session_id)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `IsPresenceSession`.
    pub async fn is_presence_session(&self, session: &SessionId) -> Result<bool, ClientError> {
        Ok(self.get_presence_session().await?.as_ref() == Some(session))
    }

    /// `SetPresenceSession`: a session that the player is a member of. Replaces the one before.
    pub async fn set_presence_session(&self, session: &SessionId) -> Result<(), ClientError> {
        let body = PresenceSession { session_id: session.clone() };
        let request = endpoints::SHOW_PRESENCE.request_with([], &body);
        self.call(&Operation::on("show as presence", session), request).await.map(drop)
    }

    /// `ClearPresenceSession`: nothing is shown from now on.
    pub async fn clear_presence_session(&self) -> Result<(), ClientError> {
        let request = endpoints::CLEAR_PRESENCE.request([]);
        match self.call(&Operation::new("clear the presence session"), request).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

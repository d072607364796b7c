//! The presence session: the one session, at most, that a player shows to friends. Leaving it clears it.

use super::{ClientError, Sessions, discover::is_missing, error::Doing};
use crate::model::{discovery::PresenceSession, ids::SessionId};
use http::Method;
use serde::de::IgnoredAny;

const MINE: &str = "/session/v1/player/me/presence-session";

impl Sessions {
    /// `GetPresenceSession`; none where the player shows none.
    pub async fn get_presence_session(&self) -> Result<Option<SessionId>, ClientError> {
        self.presence_at(&Doing::new("read the presence session"), MINE).await
    }

    pub(super) async fn presence_at(&self, doing: &Doing, path: &str) -> Result<Option<SessionId>, ClientError> {
        match self.ask::<PresenceSession>(doing, Method::GET, path).await {
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
        let doing = Doing::to("show as presence", session);
        let body = PresenceSession { session_id: session.clone() };
        self.send::<IgnoredAny>(&doing, Method::PUT, MINE, &body).await.map(drop)
    }

    /// `ClearPresenceSession`: nothing is shown from now on.
    pub async fn clear_presence_session(&self) -> Result<(), ClientError> {
        let cleared = self.ask::<IgnoredAny>(&Doing::new("clear the presence session"), Method::DELETE, MINE).await;
        match cleared {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

//! Where a session is played: asking for a server, waiting for it, connecting to it, and who is
//! connected.

use super::{ClientError, Sessions, error::Operation};
use crate::{
    model::{
        ids::{PlayerUuid, SessionId},
        player::SessionPlayerUpdateRequest,
        session::{HostType, InstanceInfo, InstanceRequest, JoinStatus, Session, StartupParams},
        sic::{Server, Servers},
    },
    session_api::{endpoints, etag_of},
};
use http::{StatusCode, header};
use std::time::Duration;

/// How often a session is looked at while somebody waits for its server. A look that finds nothing new costs a 304.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Sessions {
    /// `GetResolvedConnectString`: the public connect string, else the private one. For members, once the instance is joinable.
    pub async fn get_resolved_connect_string(&self, session: &SessionId) -> Result<String, ClientError> {
        let session = self.get_session_by_id(session).await?;
        connect_string(&session).ok_or_else(|| ClientError::NoConnectString {
            join_status: session.instance.as_ref().map(|instance| instance.join_status),
            session: session.session_id,
        })
    }

    /// `AddSessionMember`: registers a player who has connected. For the session's host.
    pub async fn add_session_member(
        &self,
        name: &str,
        player: PlayerUuid,
        team: Option<u32>,
    ) -> Result<(), ClientError> {
        let session = self.named(name)?;
        let operation = Operation::on(&format!("add player {player} to"), &session);
        let body = SessionPlayerUpdateRequest::member(team);
        self.call(&operation, endpoints::ADD_PLAYER.request_with([&session, &player], &body)).await.map(drop)
    }

    /// `RemoveSessionMember`: unregisters a player who has gone. For the session's host, and whoever may kick.
    pub async fn remove_session_member(&self, name: &str, player: PlayerUuid) -> Result<(), ClientError> {
        let session = self.named(name)?;
        let operation = Operation::on(&format!("remove player {player} from"), &session);
        self.call(&operation, endpoints::REMOVE_PLAYER.request([&session, &player])).await.map(drop)
    }

    /// Takes a server's registration away, for operators. Answers whether there was one.
    pub async fn release_server(&self, id: &str) -> Result<bool, ClientError> {
        let operation = Operation::new(format!("release server {id}"));
        let body = Servers { items: vec![Server { id: id.to_owned(), allocation_id: None }] };
        let answer = self.call(&operation, endpoints::SIC_RELEASE.request_with([], &body)).await?;
        Ok(answer.items.iter().all(|item| item.success))
    }

    /// Asks for a dedicated server: the service picks a free one. `startup`: what it starts with; without it, what the session's
    /// type or the server's own configuration says.
    pub async fn request_dedicated_server(
        &self,
        name: &str,
        startup: Option<StartupParams>,
    ) -> Result<InstanceInfo, ClientError> {
        let session = self.named(name)?;
        let operation = Operation::on("ask for a dedicated server for", &session);
        let body = InstanceRequest {
            instance_startup_params: startup,
            host_type: Some(HostType::Dedicated),
            ..InstanceRequest::default()
        };
        self.call(&operation, endpoints::POST_INSTANCE.request_with([&session], &body)).await
    }

    /// Waits until the session's instance is joinable, and returns its connect string; `progress` sees every change on the way. Ends
    /// with [`ClientError::NoConnectString`] if the instance closes, or is taken away, before that. Waits as long as the service
    /// does (an instance that no server takes is closed by it); put a time-out around it for less.
    pub async fn wait_until_joinable(
        &self,
        session: &SessionId,
        mut progress: impl FnMut(&Session),
    ) -> Result<String, ClientError> {
        let operation = Operation::on("watch", session);
        let mut etag: Option<String> = None;
        loop {
            let mut request = endpoints::READ_SESSION.request([session]).map_err(|why| operation.failed(why))?;
            if let Some(etag) = &etag {
                request = request.header(header::IF_NONE_MATCH, etag);
            }
            let response = self.send(&operation, &request).await?;
            if response.status != StatusCode::NOT_MODIFIED {
                etag = etag_of(&response);
                let seen = request.answer(&response).map_err(|why| operation.failed(why))?;
                progress(&seen);
                if let Some(address) = connect_string(&seen) {
                    return Ok(address);
                }
                let join_status = seen.instance.as_ref().map(|instance| instance.join_status);
                if !may_become_joinable(join_status) {
                    return Err(ClientError::NoConnectString { session: session.clone(), join_status });
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn may_become_joinable(join_status: Option<JoinStatus>) -> bool {
    match join_status {
        Some(JoinStatus::Requested | JoinStatus::Allocated | JoinStatus::Pending) => true,
        // Joinable without a connect string: it isn't shown to us.
        None | Some(JoinStatus::Joinable | JoinStatus::Unjoinable | JoinStatus::Closed) => false,
    }
}

/// Where to connect, if that is shown and the instance is joinable or unjoinable: a member may come back to an instance
/// that takes no new players.
pub fn connect_string(session: &Session) -> Option<String> {
    let instance = session.instance.as_ref()?;
    if !matches!(instance.join_status, JoinStatus::Joinable | JoinStatus::Unjoinable) {
        return None;
    }
    let params = instance.join_params.as_ref()?;
    let strings = [&params.public_conn_str, &params.private_conn_str];
    strings.into_iter().find(|text| !text.is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn session(join_status: &str, public: &str, private: &str) -> Session {
        serde_json::from_value(json!({
            "type": "t", "session_id": "s", "joinable": true, "created": "2026-01-01T00:00:00Z", "teams": [],
            "instance": {"instance_id": "i", "host_type": "dedicated", "join_status": join_status,
                "created": "2026-01-01T00:00:00Z",
                "join_params": {"public_conn_str": public, "private_conn_str": private}}
        }))
        .unwrap()
    }

    #[test]
    fn the_public_string_wins_unless_it_is_empty() {
        let rows = [
            ("joinable", "p:1", "q:2", Some("p:1")),
            ("joinable", "", "q:2", Some("q:2")),
            ("unjoinable", "p:1", "", Some("p:1")),
            ("joinable", "", "", None),
            ("pending", "p:1", "q:2", None),
            ("closed", "p:1", "q:2", None),
        ];
        for (join_status, public, private, expected) in rows {
            let found = connect_string(&session(join_status, public, private));
            assert_eq!(found.as_deref(), expected, "{join_status} {public:?} {private:?}");
        }
    }
}

//! Creating a session, changing its settings, leaving and destroying it.

use super::{ClientError, Sessions, Versioned, error::Operation};
use crate::{
    model::{
        CustomData,
        discovery::{self, BrowserSettings, SessionSettings, TeamSettings},
        errors::codes,
        ids::SessionId,
        session::{Joinability, Session},
    },
    session_api::endpoints,
};
use http::header;

/// The largest team that the Session API knows.
const MAX_TEAM: u32 = 100;
/// How often a settings update starts over when somebody else was faster.
const TRIES: usize = 5;

/// Who may join without an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinPolicy {
    /// Anyone can find and join the session.
    Public,
    /// Friends of any member can join.
    FriendsOnly,
    /// Only players with an invitation can join.
    InviteOnly,
}

impl From<JoinPolicy> for Joinability {
    fn from(policy: JoinPolicy) -> Joinability {
        match policy {
            JoinPolicy::Public => Joinability { open: true, friends: false, platform: true },
            JoinPolicy::FriendsOnly => Joinability { open: false, friends: true, platform: false },
            JoinPolicy::InviteOnly => Joinability { open: false, friends: false, platform: false },
        }
    }
}

/// What a session is made of. `None`: as the session type says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateSession {
    /// The handle's name for it.
    pub name: String,
    pub session_type: String,
    pub join_policy: Option<JoinPolicy>,
    /// Places for players in all, on one team (several from 101 on).
    pub max_players: Option<u32>,
    /// Team sizes; wins over `max_players`. Empty: as the type says.
    pub teams: Vec<u32>,
    pub allow_new_members: Option<bool>,
    /// Never listed outside the service's own network. Can't be changed later.
    pub lan: Option<bool>,
    /// Whether players with restrictions may join: they may unless this says no. Can't be changed later.
    pub allow_sanctioned_players: Option<bool>,
    /// What searches can filter by.
    pub custom_settings: CustomData,
    /// Lists it in the session browser, with these values.
    pub browser: Option<CustomData>,
    /// Whether it is in the session browser at all.
    pub is_listed: Option<bool>,
    pub region: Option<String>,
    /// Admits players who were not invited.
    pub password: Option<String>,
}

impl CreateSession {
    /// A session of the type `default`, as that type says.
    pub fn named(name: impl Into<String>) -> Self {
        CreateSession {
            name: name.into(),
            session_type: "default".to_owned(),
            join_policy: None,
            max_players: None,
            teams: Vec::new(),
            allow_new_members: None,
            lan: None,
            allow_sanctioned_players: None,
            custom_settings: CustomData::new(),
            browser: None,
            is_listed: None,
            region: None,
            password: None,
        }
    }
}

/// Changes of a session's settings; what isn't named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsUpdate {
    pub join_policy: Option<JoinPolicy>,
    /// Places in all, spread evenly over the session's teams.
    pub max_players: Option<u32>,
    /// Team sizes; wins over `max_players`.
    pub teams: Option<Vec<u32>>,
    pub allow_new_members: Option<bool>,
    /// Custom settings that are added or changed.
    pub set: CustomData,
    /// Custom settings that are removed.
    pub remove: Vec<String>,
    /// Lists the session in the browser with these values.
    pub browser: Option<CustomData>,
    /// Whether it is in the session browser at all.
    pub is_listed: Option<bool>,
    pub region: Option<String>,
    pub password: Option<String>,
}

/// How to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leaving {
    /// Alone.
    Leave,
    /// And remove the session, so that everybody else leaves too. For its owner or host.
    Destroy,
}

impl Sessions {
    /// `CreateSession`: a new session, never one that is there already. A player who creates one is its leader.
    pub async fn create_session(&self, wanted: CreateSession) -> Result<Session, ClientError> {
        self.is_free(&wanted.name).await?;
        let operation = Operation::new(format!("create a session of type {:?}", wanted.session_type));
        let key = uuid::Uuid::new_v4().to_string();
        let request = endpoints::CREATE_SESSION.request_with([], &self.creation(&wanted));
        let request = request.map(|request| request.header(endpoints::IDEMPOTENCY_KEY, &key));
        let created = self.call(&operation, request).await?.session_id;
        self.keep(wanted.name, created.clone());
        Ok(self.read_session(&Operation::on("read", &created), &created).await?.session)
    }

    /// The request that creates it.
    pub(super) fn creation(&self, wanted: &CreateSession) -> discovery::CreateSession {
        let sizes = match (&wanted.teams[..], wanted.max_players) {
            ([], None) => None,
            ([], Some(places)) => Some(spread(places, places.div_ceil(MAX_TEAM).max(1) as usize)),
            (teams, _) => Some(teams.to_vec()),
        };
        discovery::CreateSession {
            session_type: wanted.session_type.clone(),
            client_version: self.0.client_version.clone(),
            client_settings: self.0.client_settings.clone(),
            crossplay_preferences: None,
            password: None,
            region_id: wanted.region.clone(),
            player: None,
            force_create: true,
            settings: SessionSettings {
                custom_data: (!wanted.custom_settings.is_empty()).then(|| wanted.custom_settings.clone()),
                joinability: wanted.join_policy.map(Joinability::from),
                teams: sizes.map(|sizes| teams_of(&sizes)),
                password: wanted.password.clone().map(Into::into),
                browser: wanted.browser.clone().map(|custom_data| BrowserSettings { custom_data }),
                is_listed: wanted.is_listed,
                allow_new_members: wanted.allow_new_members,
                lan: wanted.lan,
                allow_sanctioned_players: wanted.allow_sanctioned_players,
                ..SessionSettings::default()
            },
        }
    }

    /// `UpdateSessionSettings`: one atomic write. Custom settings are changed key by key: what others wrote meanwhile stays.
    pub async fn update_session_settings(&self, name: &str, update: SettingsUpdate) -> Result<Session, ClientError> {
        let session = self.named(name)?;
        let operation = Operation::on("update", &session);
        for _ in 0..TRIES {
            let seen = self.read_session(&operation, &session).await?;
            let settings = changes(&seen.session, &update);
            match self.write_settings(&operation, &session, &settings, seen.etag.as_deref()).await {
                Ok(written) => return Ok(written.session),
                Err(error) if error.code() == Some(codes::ETAG_MISMATCH) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ClientError::KeepsChanging { session })
    }

    async fn write_settings(
        &self,
        operation: &Operation,
        session: &SessionId,
        settings: &SessionSettings,
        etag: Option<&str>,
    ) -> Result<Versioned, ClientError> {
        let request = endpoints::UPDATE_SESSION.request_with([session], settings).map(|request| match etag {
            Some(etag) => request.header(header::IF_MATCH, etag),
            None => request,
        });
        self.call_for_session(operation, request).await
    }

    /// `LeaveSession`. The name is free afterwards, also when it turns out that the session was gone already.
    pub async fn leave_session(&self, name: &str, how: Leaving) -> Result<(), ClientError> {
        let session = self.named(name)?;
        let (operation, request) = match how {
            Leaving::Leave => (Operation::on("leave", &session), endpoints::LEAVE_SESSION.request([&session])),
            Leaving::Destroy => (Operation::on("destroy", &session), endpoints::DELETE_SESSION.request([&session])),
        };
        let outcome = self.call(&operation, request).await;
        if outcome.as_ref().map_or_else(ClientError::is_gone, |_| true) {
            self.forget(name);
        }
        outcome.map(drop)
    }
}

/// What has to be written for an update.
fn changes(session: &Session, update: &SettingsUpdate) -> SessionSettings {
    let sizes = match (&update.teams, update.max_players) {
        (Some(teams), _) => Some(teams.clone()),
        (None, Some(places)) => Some(spread(places, session.teams.len().max(1))),
        (None, None) => None,
    };
    let mut custom_data = session.custom_data.clone();
    custom_data.retain(|key, _| !update.remove.contains(key));
    custom_data.extend(update.set.clone());
    SessionSettings {
        region_id: update.region.clone(),
        custom_data: (custom_data != session.custom_data).then_some(custom_data),
        joinability: update.join_policy.map(Joinability::from),
        teams: sizes.map(|sizes| teams_of(&sizes)),
        password: update.password.clone().map(Into::into),
        browser: update.browser.clone().map(|custom_data| BrowserSettings { custom_data }),
        is_listed: update.is_listed,
        allow_new_members: update.allow_new_members,
        ..SessionSettings::default()
    }
}

fn teams_of(sizes: &[u32]) -> Vec<TeamSettings> {
    sizes.iter().map(|size| TeamSettings { max_size: Some(*size), custom_data: None }).collect()
}

/// So many places on so many teams, the first ones one larger where it doesn't come out even.
fn spread(places: u32, teams: usize) -> Vec<u32> {
    let count = teams as u32;
    (0..count).map(|number| (places + count - 1 - number) / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_over_teams() {
        assert_eq!(spread(8, 2), [4, 4]);
        assert_eq!(spread(7, 2), [4, 3]);
        assert_eq!(spread(250, 3), [84, 83, 83]);
        assert_eq!(spread(1, 1), [1]);
    }

    #[test]
    fn a_policy_is_its_joinability() {
        let rows = [
            (JoinPolicy::Public, (true, false, true)),
            (JoinPolicy::FriendsOnly, (false, true, false)),
            (JoinPolicy::InviteOnly, (false, false, false)),
        ];
        for (policy, expected) in rows {
            let found = Joinability::from(policy);
            assert_eq!((found.open, found.friends, found.platform), expected, "{policy:?}");
        }
    }

    #[test]
    fn custom_settings_change_key_by_key_and_unchanged_ones_are_not_written() {
        let session: Session = serde_json::from_value(serde_json::json!({
            "type": "t", "session_id": "s", "joinable": true, "created": "2026-01-01T00:00:00Z",
            "teams": [{"players": [], "max_size": 4}, {"players": [], "max_size": 4}],
            "custom_data": {"map": "a", "mode": "b"}
        }))
        .unwrap();
        let update = SettingsUpdate {
            set: CustomData::from([("map".into(), "c".into()), ("new".into(), "d".into())]),
            remove: vec!["mode".into(), "none".into()],
            max_players: Some(6),
            ..SettingsUpdate::default()
        };
        let written = changes(&session, &update);
        let expected = CustomData::from([("map".into(), "c".into()), ("new".into(), "d".into())]);
        assert_eq!(written.custom_data, Some(expected));
        assert_eq!(written.teams.unwrap().iter().filter_map(|team| team.max_size).collect::<Vec<_>>(), [3, 3]);
        assert_eq!(changes(&session, &SettingsUpdate::default()), SessionSettings::default());
    }
}

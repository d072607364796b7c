//! A session as the service keeps it: what the contract shows, and what it hides (password, owner,
//! host, connections).

use crate::model::{
    CustomData,
    ids::{BackfillId, InstanceId, PlayerUuid, SessionId},
    player::{PlayerStatus, SessionPlayer, SessionTeam},
    session::{
        BackfillNeed, BackfillStyle, BrowserInfo, InstanceInfo, JoinStatus, Joinability, PlatformScout, PlatformSession,
    },
    time::Timestamp,
};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The longest-lived noun of the service. `version` grows with every change and is what entity tags are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    pub id: SessionId,
    pub session_type: String,
    pub version: u64,
    pub created: Timestamp,
    /// Counts the sessions of this service: the browser's order.
    pub number: u64,
    /// The credential that made it without a player: a dedicated server's own session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The player who made it, whether it is in it or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<PlayerUuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// The version of whoever made it; a server that is allocated must be compatible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<Version>,
    pub joinability: Joinability,
    /// A hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Extension; overrides every policy.
    #[serde(default = "yes")]
    pub allow_new_members: bool,
    /// Extension, for good: never listed outside the service's own network.
    #[serde(default)]
    pub lan: bool,
    /// Extension, for good: players with restrictions may join.
    #[serde(default)]
    pub allow_sanctioned: bool,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    pub teams: Vec<SessionTeam>,
    /// Players whom the host reported as connected; they are never culled.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub connected: BTreeSet<PlayerUuid>,
    /// Active players whom a server put in and who haven't joined by themselves.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub added: BTreeSet<PlayerUuid>,
    /// The ids of pending invites, by who is invited.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub invites: BTreeMap<PlayerUuid, Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<BackfillRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<BrowserInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_code: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platform_sessions: Vec<PlatformSession>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platform_scouts: BTreeMap<String, PlatformScout>,
    #[serde(default)]
    pub created_by_matchmaking: bool,
    /// Who asked for it, and the key that they gave the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Maker>,
}

/// A request that made a session: sent again, it makes no other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Maker {
    /// Of the caller's token.
    pub subject: String,
    pub key: String,
}

/// The session's host and its term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub info: InstanceInfo,
    pub host: Host,
    /// When the present `match_id` was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_since: Option<Timestamp>,
    /// Players who were in the session during this term and have gone, the latest last: the host may mark them as deserters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<PlayerUuid>,
}

/// So many players who have gone are remembered for their host.
const REMEMBERED_PLAYERS: usize = 256;

/// Who hosts: the credential that posted the instance or was allocated, the registered server, or a player.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Host {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The registered server that was allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Which life of that server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Whether that server was told.
    #[serde(default)]
    pub delivered: bool,
}

/// A search for more players.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackfillRecord {
    pub id: BackfillId,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub extensions: CustomData,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub styles: Vec<BackfillStyle>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<BackfillNeed>,
    /// Players for whom places are held and of whom the host doesn't know yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrived: Vec<PlayerUuid>,
}

fn yes() -> bool {
    true
}

impl SessionRecord {
    /// Every player with a place: active, invited or reserved.
    pub fn players(&self) -> impl Iterator<Item = &SessionPlayer> {
        self.teams.iter().flat_map(|team| &team.players)
    }
    pub fn active(&self) -> impl Iterator<Item = &SessionPlayer> {
        self.players().filter(|player| player.status.is_active())
    }
    pub fn player(&self, id: PlayerUuid) -> Option<&SessionPlayer> {
        self.players().find(|player| player.player_uuid == id)
    }
    pub fn player_mut(&mut self, id: PlayerUuid) -> Option<&mut SessionPlayer> {
        self.teams.iter_mut().flat_map(|team| &mut team.players).find(|player| player.player_uuid == id)
    }
    /// The index of the team that a player is on.
    pub fn team_of(&self, id: PlayerUuid) -> Option<usize> {
        self.teams.iter().position(|team| team.players.iter().any(|player| player.player_uuid == id))
    }
    pub fn leader(&self) -> Option<PlayerUuid> {
        self.players().find(|player| player.status == PlayerStatus::Leader).map(|player| player.player_uuid)
    }
    pub fn is_active(&self, id: PlayerUuid) -> bool {
        self.player(id).is_some_and(|player| player.status.is_active())
    }
    /// What it takes in the store, about: its texts, and a share for whatever else each thing has.
    pub fn bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, InstanceRecord::bytes);
        let backfill = self.backfill.as_ref().map_or(0, |backfill| {
            let fixed = 64 * (backfill.needs.len() + backfill.styles.len() + backfill.arrived.len());
            SHARE + texts(&backfill.extensions) + fixed
        });
        let platform = self.platform_sessions.iter().map(|own| {
            SHARE + own.platform_session_id_base64.len() + own.platform_session_type.len() + texts(&own.custom_data)
        });
        let teams = self.teams.iter().map(|team| SHARE + team.custom_data.as_ref().map_or(0, texts));
        let players = self.players().map(|player| 2 * SHARE + texts(&player.custom_data));
        let browser = self.browser.as_ref().map_or(0, |browser| SHARE + texts(&browser.custom_data));
        let maker = self.made_by.as_ref().map_or(0, |maker| maker.subject.len() + maker.key.len());
        let own = 2 * SHARE + maker + texts(&self.custom_data);
        own + instance + backfill + browser + platform.chain(teams).chain(players).sum::<usize>()
    }
    /// The bytes that the player has who says most of itself.
    pub fn largest_player(&self) -> usize {
        self.players().map(|player| texts(&player.custom_data)).max().unwrap_or(0)
    }
    /// All the teams' sizes together.
    pub fn max_players(&self) -> u32 {
        self.teams.iter().map(|team| team.max_size).sum()
    }
    /// The instance, unless it is closed.
    pub fn live_instance(&self) -> Option<&InstanceRecord> {
        self.instance.as_ref().filter(|instance| instance.is_live())
    }
    pub fn live_instance_mut(&mut self) -> Option<&mut InstanceRecord> {
        self.instance.as_mut().filter(|instance| instance.is_live())
    }
    /// Remembers for the host who has gone since `old`; not whom a server had put in.
    pub fn note_departures(&mut self, old: &SessionRecord) {
        let gone = old.active().map(|player| player.player_uuid).filter(|player| !self.is_active(*player));
        let gone: Vec<PlayerUuid> = gone.filter(|player| !old.added.contains(player)).collect();
        let Some(instance) = self.instance.as_mut().filter(|_| !gone.is_empty()) else { return };
        instance.left.retain(|player| !gone.contains(player));
        instance.left.extend(gone);
        let surplus = instance.left.len().saturating_sub(REMEMBERED_PLAYERS);
        instance.left.drain(..surplus);
    }
    /// Whether a player is in the session by its own will.
    pub fn has_joined(&self, player: PlayerUuid) -> bool {
        self.is_active(player) && !self.added.contains(&player)
    }
    /// Whether a player is in the session by its own will, or was during the present instance's term.
    pub fn has_played(&self, player: PlayerUuid) -> bool {
        self.has_joined(player) || self.instance.as_ref().is_some_and(|instance| instance.left.contains(&player))
    }
    /// Gives teams their numbers again after a change of their order or count.
    pub fn number_teams(&mut self) {
        for (number, team) in (0u32..).zip(&mut self.teams) {
            team.team_id = Some(number);
        }
    }
}

/// Bytes of what a thing has besides its texts.
const SHARE: usize = 256;

/// The bytes of free texts.
pub(crate) fn texts(data: &CustomData) -> usize {
    data.iter().map(|(key, value)| key.len() + value.len() + 6).sum()
}

impl InstanceRecord {
    fn bytes(&self) -> usize {
        let startup = self.info.instance_startup_params.as_ref().map_or(0, |startup| {
            let mode = startup.mode.as_ref().map_or(0, String::len);
            startup.map.len() + mode + startup.misc_params.len() + texts(&startup.custom_data)
        });
        let join = self
            .info
            .join_params
            .as_ref()
            .map_or(0, |join| join.public_conn_str.len() + join.private_conn_str.len() + texts(&join.custom_data));
        let fixed = 2 * SHARE + 40 * self.left.len();
        fixed + startup + join + texts(&self.info.custom_data)
    }
    pub fn is_live(&self) -> bool {
        self.info.join_status != JoinStatus::Closed
    }
    pub fn id(&self) -> &InstanceId {
        &self.info.instance_id
    }
}

/// A team of a size without anybody on it.
pub(crate) fn empty_team(number: u32, max_size: u32) -> SessionTeam {
    SessionTeam { players: Vec::new(), max_size, team_id: Some(number), ticket_ids: None, custom_data: None }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Sessions to apply rules to.
    use super::*;

    pub(crate) fn uuid(n: u128) -> PlayerUuid {
        PlayerUuid(Uuid::from_u128(n))
    }

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000 + second * 1000).unwrap()
    }

    pub(crate) fn player(n: u128, status: PlayerStatus) -> SessionPlayer {
        SessionPlayer {
            player_id: None,
            player_uuid: uuid(n),
            status,
            inviting_player_uuid: None,
            source_session_id: None,
            custom_data: CustomData::new(),
            version: None,
            client_settings: None,
            crossplay_preferences: None,
            invited: None,
            joined: status.is_active().then(|| at(n as i64)),
            session_permissions: Vec::new(),
        }
    }

    /// Teams of these sizes, with these players on them.
    pub(crate) fn session(teams: &[(u32, &[(u128, PlayerStatus)])]) -> SessionRecord {
        SessionRecord {
            id: SessionId::new("s").unwrap(),
            session_type: "default".into(),
            version: 1,
            created: at(0),
            number: 1,
            owner: None,
            region_id: None,
            client_version: None,
            joinability: Joinability::default(),
            password: None,
            allow_new_members: true,
            lan: false,
            allow_sanctioned: false,
            custom_data: CustomData::new(),
            teams: (0u32..)
                .zip(teams)
                .map(|(number, (size, players))| SessionTeam {
                    players: players.iter().map(|(n, status)| player(*n, *status)).collect(),
                    ..empty_team(number, *size)
                })
                .collect(),
            connected: BTreeSet::new(),
            added: BTreeSet::new(),
            invites: BTreeMap::new(),
            instance: None,
            backfill: None,
            browser: None,
            short_code: None,
            platform_sessions: Vec::new(),
            platform_scouts: BTreeMap::new(),
            created_by_matchmaking: false,
            made_by: None,
            creator: None,
        }
    }
}

//! Joining a session: who may, and on which team.
//!
//! | the caller | may join when |
//! |---|---|
//! | is a member already | always: an update of what it says of itself |
//! | has a place that is held | always |
//! | is put in by an elevated caller or by the server that runs the session | always |
//! | was invited | `allow_new_members` |
//! | is put in by the leader, and has agreed | `allow_new_members` |
//! | anybody else | `allow_new_members`, and one of: `open`; the right password; `friends` and a friend among the active members; through a platform session while `platform`, if the session has no password |
//!
//! A player with restrictions may join only a session that allows sanctioned players, whatever else
//! is true.
//!
//! Whoever joins must be compatible with the instance's version and find room on a team. The first
//! to join a session without leader and owner leads it.

use super::{
    record::{SessionRecord, texts},
    teams::{self, place},
};
use crate::{
    model::{
        CustomData,
        errors::codes,
        ids::PlayerUuid,
        player::{ClientSettings, CrossplayPreferences, Password, PlayerStatus, SessionPlayer},
        session::TeamOverflow,
        time::Timestamp,
        version::{Matching, compatible},
    },
    service::http::reply::{Interrupt, Need, Outcome, conflict, forbidden},
};
use semver::Version;
use uuid::Uuid;

/// Who comes, and how.
#[derive(Debug, Clone)]
pub struct Joining {
    pub player: PlayerUuid,
    pub team: Option<u32>,
    pub version: Option<Version>,
    pub client_settings: Option<ClientSettings>,
    pub crossplay_preferences: Option<CrossplayPreferences>,
    pub custom_data: CustomData,
    pub password: Option<Password>,
    /// The hash that the password was found to match already.
    pub verified: Option<String>,
    pub basis: JoinBasis,
    /// The player has restrictions.
    pub sanctioned: bool,
    pub matching: Matching,
    pub now: Timestamp,
}

/// On what a player may join a session that isn't open, and without its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinBasis {
    /// On nothing else.
    Plain,
    /// A friend of an active member.
    Friend,
    /// Perhaps a friend's: whoever keeps the friend graph can't say at the moment.
    Unknown,
    /// Through a platform session that belongs to this one.
    Platform,
    /// The session's leader puts the player in, who has agreed.
    Leader,
    /// An elevated caller, or the server that runs the session, puts the player in.
    Elevated,
}

impl JoinBasis {
    /// Somebody else puts the player in.
    pub fn is_put_in(self) -> bool {
        matches!(self, JoinBasis::Leader | JoinBasis::Elevated)
    }
}

/// Where a player ended up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    pub team: usize,
    pub status: PlayerStatus,
}

/// Makes a player an active member. On an error nothing has changed that matters: the caller throws the copy away.
pub(crate) fn join(session: &mut SessionRecord, joining: Joining) -> Outcome<Placement> {
    fits_version(session, &joining)?;
    let known = session.player(joining.player).map(|player| player.status);
    if joining.sanctioned && !session.allow_sanctioned && !session.is_active(joining.player) {
        return Err(forbidden(codes::SANCTIONED, "players with restrictions may not join this session"));
    }
    match known {
        None => admitted(session, &joining)?,
        Some(PlayerStatus::Invited) => takes_members(session, joining.basis)?,
        Some(PlayerStatus::Leader | PlayerStatus::Member | PlayerStatus::Reserved) => {}
    }
    let team = match (known, joining.team) {
        (Some(_), Some(_)) => teams::move_player(session, joining.player, joining.team)?,
        (Some(_), None) => session.team_of(joining.player).unwrap_or(0),
        (None, wanted) => {
            let team = place(&session.teams, wanted, 1, TeamOverflow::Fail)?[0].unwrap_or(0);
            session.teams[team].players.push(newcomer(joining.player, PlayerStatus::Member));
            team
        }
    };
    let leads = session.leader().is_none() && session.owner.is_none();
    session.invites.remove(&joining.player);
    let Some(player) = session.player_mut(joining.player) else { return Err(teams::no_player(joining.player)) };
    if !player.status.is_active() {
        player.status = PlayerStatus::Member;
        player.joined = None;
    }
    if leads {
        player.status = PlayerStatus::Leader;
    }
    describe(player, joining);
    Ok(Placement { team, status: player.status })
}

fn describe(player: &mut SessionPlayer, joining: Joining) {
    player.joined = player.joined.or(Some(joining.now));
    player.version = joining.version.or_else(|| player.version.take());
    player.client_settings = joining.client_settings.or_else(|| player.client_settings.take());
    player.crossplay_preferences = joining.crossplay_preferences.or_else(|| player.crossplay_preferences.take());
    if !joining.custom_data.is_empty() {
        player.custom_data = joining.custom_data;
    }
}

/// A player about whom nothing is known yet; its number is written into the session with the change.
pub(crate) fn newcomer(id: PlayerUuid, status: PlayerStatus) -> SessionPlayer {
    SessionPlayer {
        player_id: None,
        player_uuid: id,
        status,
        inviting_player_uuid: None,
        source_session_id: None,
        custom_data: CustomData::new(),
        version: None,
        client_settings: None,
        crossplay_preferences: None,
        invited: None,
        joined: None,
        session_permissions: Vec::new(),
    }
}

fn fits_version(session: &SessionRecord, joining: &Joining) -> Outcome<()> {
    let host = session.live_instance().and_then(|instance| instance.info.version.as_ref());
    match (host.or(session.client_version.as_ref()), &joining.version) {
        (Some(host), Some(client)) if !compatible(joining.matching, host, client) => {
            Err(forbidden(codes::VERSION_MISMATCH, format!("version {client} can't play with {host}")))
        }
        _ => Ok(()),
    }
}

/// Whether the session takes in anybody at all who holds no place in it.
fn takes_members(session: &SessionRecord, basis: JoinBasis) -> Outcome<()> {
    if session.allow_new_members || basis == JoinBasis::Elevated {
        return Ok(());
    }
    Err(forbidden(codes::NOT_JOINABLE, "the session takes no new members"))
}

fn admitted(session: &SessionRecord, joining: &Joining) -> Outcome<()> {
    takes_members(session, joining.basis)?;
    if joining.basis.is_put_in() {
        return Ok(());
    }
    let rules = session.joinability;
    let by_friend = rules.friends && joining.basis == JoinBasis::Friend;
    let by_platform = rules.platform && joining.basis == JoinBasis::Platform && session.password.is_none();
    if rules.open || by_friend || by_platform {
        return Ok(());
    }
    match (&session.password, &joining.password) {
        (Some(hash), Some(_)) if joining.verified.as_ref() == Some(hash) => Ok(()),
        (Some(hash), Some(password)) if joining.verified.is_none() => {
            Err(Interrupt::Needs(Need::Verify { hash: hash.clone(), password: password.expose().to_owned() }))
        }
        (Some(_), Some(_)) => Err(forbidden(codes::WRONG_PASSWORD, "the password is wrong")),
        _ if rules.friends && joining.basis == JoinBasis::Unknown => {
            let desc = "friends may join, and who yours are can't be found out at the moment; try again soon";
            Err(forbidden(codes::FRIENDS_UNAVAILABLE, desc))
        }
        _ => Err(forbidden(codes::NOT_JOINABLE, "the session is not open to you")),
    }
}

/// Whether a player could come in now, without a password and through no platform: what a search shows, and where
/// matchmaking looks.
pub(crate) fn could_join(session: &SessionRecord, player: PlayerUuid, basis: JoinBasis, sanctioned: bool) -> bool {
    if sanctioned && !session.allow_sanctioned {
        return false;
    }
    let admitted = session.joinability.open || basis == JoinBasis::Friend;
    match session.player(player).map(|known| known.status) {
        Some(PlayerStatus::Invited) => session.allow_new_members,
        Some(PlayerStatus::Leader | PlayerStatus::Member | PlayerStatus::Reserved) => true,
        None => admitted && takes_newcomers(session),
    }
}

/// Whether a player whom nobody invited might come in without a password: anybody, or a friend.
pub(crate) fn takes_newcomers(session: &SessionRecord) -> bool {
    let rules = session.joinability;
    let room = || session.teams.iter().any(|team| team.players.len() < team.max_size as usize);
    session.allow_new_members && (rules.open || rules.friends) && room()
}

/// Invites players, or holds places for them. Whoever is in the session already keeps status and place.
/// Answers where each ended up; whoever found no place is missing.
pub(crate) fn invite(session: &mut SessionRecord, inviting: &Inviting<'_>) -> Outcome<Vec<(PlayerUuid, Placement)>> {
    let new: Vec<PlayerUuid> = inviting.players.iter().copied().filter(|id| session.player(*id).is_none()).collect();
    let copied = new.len() * texts(&inviting.custom_data);
    if new.len() > 1 && copied > MOST_COPIED {
        let desc = format!("custom_data for {} players would take {copied} bytes; {MOST_COPIED} may be", new.len());
        return Err(conflict(codes::RECORD_TOO_LARGE, desc));
    }
    let places = place(&session.teams, inviting.team, new.len(), inviting.overflow)?;
    for (id, place) in new.iter().zip(places) {
        let Some(team) = place else { continue };
        let player = SessionPlayer {
            inviting_player_uuid: inviting.by,
            source_session_id: inviting.source.clone(),
            custom_data: inviting.custom_data.clone(),
            invited: Some(inviting.now),
            ..newcomer(*id, inviting.status)
        };
        session.teams[team].players.push(player);
    }
    if !new.is_empty() && inviting.status == PlayerStatus::Invited {
        few_invites(session)?;
    }
    let mut placed = Vec::new();
    for id in inviting.players {
        let (Some(team), Some(player)) = (session.team_of(*id), session.player_mut(*id)) else { continue };
        if player.status == PlayerStatus::Reserved && inviting.status == PlayerStatus::Invited {
            player.status = PlayerStatus::Invited;
        }
        placed.push((*id, Placement { team, status: player.status }));
        if placed.last().is_some_and(|(_, place)| place.status == PlayerStatus::Invited) {
            session.invites.entry(*id).or_insert_with(|| invite_id(inviting.invites, *id));
        }
    }
    Ok(placed)
}

/// A session has at most 100 open invites, or four for each of its places.
fn few_invites(session: &SessionRecord) -> Outcome<()> {
    let open = session.players().filter(|player| player.status == PlayerStatus::Invited).count();
    let most = MOST_INVITES.max(4 * session.max_players() as usize);
    if open <= most {
        return Ok(());
    }
    Err(conflict(codes::TOO_MANY_INVITES, format!("there may be {most} open invites; this would make it {open}")))
}

const MOST_INVITES: usize = 100;
/// Each of several players gets a copy of the inviter's `custom_data`: bytes of them all.
const MOST_COPIED: usize = 32 << 10;

/// The id of an invite: the same when an operation is run again.
fn invite_id(invites: Uuid, player: PlayerUuid) -> Uuid {
    Uuid::new_v5(&invites, player.0.as_bytes())
}

/// Whom to invite, and how.
#[derive(Debug, Clone)]
pub(crate) struct Inviting<'a> {
    pub players: &'a [PlayerUuid],
    pub status: PlayerStatus,
    pub by: Option<PlayerUuid>,
    pub source: Option<crate::model::ids::SessionId>,
    pub team: Option<u32>,
    pub overflow: TeamOverflow,
    pub custom_data: CustomData,
    pub now: Timestamp,
    /// Made anew for each operation; the ids of its invites come from it.
    pub invites: Uuid,
}

#[cfg(test)]
mod tests {
    use super::{super::record::testing::*, *};
    use crate::model::session::Joinability;
    use PlayerStatus::{Invited, Leader, Member, Reserved};

    fn joining(n: u128) -> Joining {
        Joining {
            player: uuid(n),
            team: None,
            version: None,
            client_settings: None,
            crossplay_preferences: None,
            custom_data: CustomData::new(),
            password: None,
            verified: None,
            basis: JoinBasis::Plain,
            sanctioned: false,
            matching: Matching::Compatible,
            now: at(100),
        }
    }

    #[test]
    fn joinability_decides_who_may_come_uninvited() {
        let closed = Joinability { open: false, friends: false, platform: false };
        let rows = [
            ("open", Joinability { open: true, ..closed }, JoinBasis::Plain, true),
            ("closed", closed, JoinBasis::Plain, false),
            ("friends, a friend", Joinability { friends: true, ..closed }, JoinBasis::Friend, true),
            ("friends, nobody knows", Joinability { friends: true, ..closed }, JoinBasis::Unknown, false),
            ("friends, a stranger", Joinability { friends: true, ..closed }, JoinBasis::Plain, false),
            ("no friends, a friend", closed, JoinBasis::Friend, false),
            ("platform, through it", Joinability { platform: true, ..closed }, JoinBasis::Platform, true),
            ("no platform, through it", closed, JoinBasis::Platform, false),
            ("closed, elevated", closed, JoinBasis::Elevated, true),
        ];
        for (name, joinability, basis, fine) in rows {
            let mut session = session(&[(4, &[(1, Leader)])]);
            session.joinability = joinability;
            assert_eq!(join(&mut session, Joining { basis, ..joining(2) }).is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn an_invitation_and_a_reservation_open_every_door() {
        let mut session = session(&[(4, &[(1, Leader), (2, Invited), (3, Reserved)])]);
        for n in [2, 3] {
            assert_eq!(join(&mut session, joining(n)).unwrap(), Placement { team: 0, status: Member });
        }
        assert!(join(&mut session, joining(4)).is_err());
        assert_eq!(session.player(uuid(2)).unwrap().joined, Some(at(100)));
    }

    #[test]
    fn a_session_that_takes_no_new_members_takes_only_who_holds_a_place_and_whom_a_server_puts_in() {
        let closed = || {
            let mut session = session(&[(8, &[(1, Leader), (2, Invited), (3, Reserved)])]);
            session.allow_new_members = false;
            session.joinability = Joinability { open: true, friends: true, platform: true };
            session
        };
        let rows = [
            ("a member again", 1, JoinBasis::Plain, true),
            ("invited, earlier or later", 2, JoinBasis::Plain, false),
            ("a place is held", 3, JoinBasis::Plain, true),
            ("open", 4, JoinBasis::Plain, false),
            ("a friend", 4, JoinBasis::Friend, false),
            ("through the platform", 4, JoinBasis::Platform, false),
            ("put in by the leader", 4, JoinBasis::Leader, false),
            ("invited, and put in by the leader", 2, JoinBasis::Leader, false),
            ("put in by a server", 4, JoinBasis::Elevated, true),
            ("invited, and put in by a server", 2, JoinBasis::Elevated, true),
        ];
        for (name, n, basis, fine) in rows {
            assert_eq!(join(&mut closed(), Joining { basis, ..joining(n) }).is_ok(), fine, "{name}");
        }
        assert!(
            !could_join(&closed(), uuid(2), JoinBasis::Plain, false)
                && could_join(&closed(), uuid(3), JoinBasis::Plain, false)
        );
    }

    #[test]
    fn a_password_admits_once_it_was_verified_and_a_wrong_one_does_not() {
        let mut session = session(&[(4, &[(1, Leader)])]);
        session.password = Some("hash".into());
        let with = |verified: Option<&str>| Joining {
            password: Some("secret".to_owned().into()),
            verified: verified.map(str::to_owned),
            ..joining(2)
        };
        let verify = Interrupt::Needs(Need::Verify { hash: "hash".into(), password: "secret".into() });
        assert_eq!(join(&mut session, with(None)), Err(verify));
        assert!(
            matches!(join(&mut session, with(Some(""))), Err(Interrupt::Refused(no)) if no.code == codes::WRONG_PASSWORD)
        );
        assert!(join(&mut session, with(Some("hash"))).is_ok());
    }

    #[test]
    fn an_incompatible_version_is_refused_whoever_asks() {
        let mut session = session(&[(4, &[(1, Leader)])]);
        session.client_version = Some(Version::new(2, 1, 0));
        let of = |version| Joining { version: Some(version), basis: JoinBasis::Elevated, ..joining(2) };
        assert!(join(&mut session, of(Version::new(1, 9, 0))).is_err());
        assert!(join(&mut session, of(Version::new(2, 0, 0))).is_ok());
    }

    #[test]
    fn the_first_to_join_leads_unless_a_server_owns_the_session() {
        for (owner, expected) in [(None, Leader), (Some("client:s"), Member)] {
            let mut session = session(&[(4, &[])]);
            session.owner = owner.map(str::to_owned);
            session.joinability.open = true;
            assert_eq!(join(&mut session, joining(1)).unwrap().status, expected);
            assert_eq!(join(&mut session, joining(2)).unwrap().status, Member);
        }
    }

    #[test]
    fn invites_take_places_and_bear_ids() {
        let mut session = session(&[(2, &[(1, Leader)]), (1, &[])]);
        let request = |players, overflow| Inviting {
            players,
            status: Invited,
            by: Some(uuid(1)),
            source: None,
            team: Some(0),
            overflow,
            custom_data: CustomData::new(),
            now: at(5),
            invites: Uuid::from_u128(7),
        };
        let three = [uuid(2), uuid(3), uuid(4)];
        assert!(invite(&mut session.clone(), &request(&three, TeamOverflow::AllowOverflow)).is_err());
        let placed = invite(&mut session, &request(&three, TeamOverflow::PartialWithOverflow)).unwrap();
        assert_eq!(placed.len(), 2);
        assert_eq!(session.invites.len(), 2);
        assert_eq!(session.player(uuid(2)).unwrap().inviting_player_uuid, Some(uuid(1)));
    }
}

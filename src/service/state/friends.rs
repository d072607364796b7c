//! The friend graph: each player's side of each relationship.
//!
//! | side before | the player adds the other | the player removes the other |
//! |---|---|---|
//! | none | request sent; pending at the other's | nothing |
//! | request sent | nothing | withdrawn at both |
//! | request pending | friends, both | none; at the other's: declined |
//! | friends | nothing | none, both |
//! | declined by the other | nothing: removing it first asks anew | none |
//!
//! Where `friends.url` names another service, its graph ([`mod@crate::service::remote_friends`])
//! decides, and this one rests.
//!
//! Whoever adds a player whose request it declined becomes a friend at once. Invariant: both sides
//! change in one operation, and `friends` stands on both or on neither.

use super::{Transaction, commit::Commit, set_aside::SetAside};
use crate::{
    model::{
        friends::{FriendRelationship, FriendshipStatus},
        ids::PlayerUuid,
        time::Timestamp,
    },
    service::{
        http::{
            reply::{Interrupt, Need, Outcome, bad_request, conflict},
            request::RequestContext,
        },
        rules::{join::JoinBasis, record::SessionRecord},
        store::{Seq, Store, StoreError, Table},
    },
};
use std::collections::{BTreeMap, HashMap};

/// A side, and the write that made it what it is.
type Side = (FriendRelationship, Seq);

#[derive(Debug, Default)]
pub(crate) struct Friends {
    sides: HashMap<PlayerUuid, BTreeMap<PlayerUuid, Side>>,
}

impl Friends {
    pub(crate) fn read(store: &mut dyn Store, set_aside: &mut SetAside) -> Result<Friends, StoreError> {
        let mut friends = Friends::default();
        set_aside.rows(store, Table::Friends, |key, bytes| {
            let player = PlayerUuid(key.split('/').next().unwrap_or_default().parse::<uuid::Uuid>()?);
            let side: FriendRelationship = serde_json::from_slice(bytes)?;
            let sides = friends.sides.entry(player).or_default();
            sides.insert(side.friends_player_uuid, (side, Seq::default()));
            Ok(())
        })?;
        Ok(friends)
    }

    fn side(&self, player: PlayerUuid, other: PlayerUuid) -> Option<&Side> {
        self.sides.get(&player)?.get(&other)
    }

    fn of(&self, player: PlayerUuid) -> impl Iterator<Item = &Side> {
        self.sides.get(&player).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn are(&self, one: PlayerUuid, other: PlayerUuid) -> bool {
        self.side(one, other).is_some_and(|(side, _)| side.status == FriendshipStatus::Friends)
    }
}

impl Friends {
    /// Takes sides as an operation leaves them.
    pub(super) fn commit(&mut self, sides: Changed, commit: &mut Commit) {
        for ((player, other), side) in sides {
            match side {
                Some(side) => {
                    let bytes = serde_json::to_vec(&side).unwrap_or_default();
                    commit.row(Table::Friends, key(player, other), Some(bytes));
                    self.sides.entry(player).or_default().insert(other, (side, commit.seq));
                }
                None => {
                    if self.sides.get_mut(&player).is_some_and(|sides| sides.remove(&other).is_some()) {
                        commit.row(Table::Friends, key(player, other), None);
                    }
                }
            }
        }
    }
}

/// Sides that an operation changed; none: it goes.
type Changed = BTreeMap<(PlayerUuid, PlayerUuid), Option<FriendRelationship>>;

/// What a player who has nothing to do with another stands as.
fn strangers(other: PlayerUuid) -> FriendRelationship {
    FriendRelationship {
        friends_player_uuid: other,
        status: FriendshipStatus::None,
        notes: None,
        last_modified_on: Timestamp::EPOCH,
    }
}

impl Transaction<'_> {
    /// One side of a relationship.
    pub fn relationship(&mut self, player: PlayerUuid, other: PlayerUuid) -> FriendRelationship {
        if let Some(changed) = self.changes.friends.get(&(player, other)) {
            return changed.clone().unwrap_or_else(|| strangers(other));
        }
        let Some((side, seq)) = self.state.friends.side(player, other) else { return strangers(other) };
        self.durability([*seq]);
        side.clone()
    }

    /// All relationships of a player, by the other's UUID, as they were before this operation.
    pub fn relationships(&mut self, player: PlayerUuid) -> Vec<FriendRelationship> {
        let state = self.state;
        self.durability(state.friends.of(player).map(|(_, seq)| *seq));
        state.friends.of(player).map(|(side, _)| side.clone()).collect()
    }

    /// Asks for friendship, or agrees to it; sets notes if there are any.
    pub fn befriend(
        &mut self,
        player: PlayerUuid,
        other: PlayerUuid,
        notes: Option<String>,
    ) -> Outcome<FriendRelationship> {
        use FriendshipStatus::{FriendRequestDeclinedByOther, FriendRequestPending, FriendRequestSent, Friends, None};
        if player == other {
            return Err(bad_request("friend_is_self", "a player can't be its own friend"));
        }
        let own = self.relationship(player, other).status;
        let theirs = self.relationship(other, player).status;
        match (own, theirs) {
            (FriendRequestPending, _) | (None, FriendRequestDeclinedByOther | FriendRequestSent) => {
                self.room_for_friend(player, other)?;
                self.set_side(player, other, Friends);
                self.set_side(other, player, Friends);
            }
            (None, _) => {
                self.room_for_friend(player, other)?;
                self.set_side(player, other, FriendRequestSent);
                self.set_side(other, player, FriendRequestPending);
            }
            (Friends | FriendRequestSent | FriendRequestDeclinedByOther, _) => {}
        }
        if notes.is_some() {
            self.change_side(player, other, |side| side.notes = notes);
        }
        Ok(self.relationship(player, other))
    }

    /// Both lists must have room.
    fn room_for_friend(&self, player: PlayerUuid, other: PlayerUuid) -> Outcome<()> {
        let most = self.settings.limits.friends as usize;
        for (who, about) in [(player, other), (other, player)] {
            let sides = self.state.friends.sides.get(&who);
            if sides.is_some_and(|sides| sides.len() >= most && !sides.contains_key(&about)) {
                return Err(conflict("friend_limit_reached", format!("a player has at most {most} relationships")));
            }
        }
        Ok(())
    }

    /// Ends a friendship, declines a request or withdraws one.
    pub fn unfriend(&mut self, player: PlayerUuid, other: PlayerUuid) {
        use FriendshipStatus::{FriendRequestDeclinedByOther, FriendRequestPending, FriendRequestSent, Friends, None};
        match self.relationship(player, other).status {
            FriendRequestPending => self.set_side(other, player, FriendRequestDeclinedByOther),
            FriendRequestSent | Friends => self.set_side(other, player, None),
            FriendRequestDeclinedByOther | None => {}
        }
        self.set_side(player, other, None);
    }

    fn set_side(&mut self, player: PlayerUuid, other: PlayerUuid, status: FriendshipStatus) {
        if status == FriendshipStatus::None {
            self.changes.friends.insert((player, other), None);
            return;
        }
        self.change_side(player, other, |side| side.status = status);
    }

    fn change_side(&mut self, player: PlayerUuid, other: PlayerUuid, change: impl FnOnce(&mut FriendRelationship)) {
        let mut side = self.relationship(player, other);
        change(&mut side);
        side.last_modified_on = self.now.wall;
        self.changes.friends.insert((player, other), Some(side));
    }

    /// How a player may come into a session besides openness and password: as a friend of `named`, or of anybody active. Where friendship
    /// decides nothing, nobody is asked for it.
    pub fn basis_of_friends(
        &self,
        request: &RequestContext,
        session: &SessionRecord,
        player: PlayerUuid,
        named: Option<PlayerUuid>,
    ) -> Outcome<JoinBasis> {
        let rules = session.joinability;
        if !rules.friends || rules.open || !session.allow_new_members || session.player(player).is_some() {
            return Ok(JoinBasis::Plain);
        }
        let members = session.active().map(|member| member.player_uuid);
        let members = members.filter(|member| named.is_none_or(|named| named == *member));
        Ok(match self.has_friend(request, player, members)? {
            Some(true) => JoinBasis::Friend,
            Some(false) => JoinBasis::Plain,
            None => JoinBasis::Unknown,
        })
    }

    /// Whether any of the others is a player's friend; none if the service that keeps the friend graph can't say.
    pub fn has_friend(
        &self,
        request: &RequestContext,
        player: PlayerUuid,
        mut others: impl Iterator<Item = PlayerUuid>,
    ) -> Outcome<Option<bool>> {
        if !self.settings.friends.elsewhere() {
            return Ok(Some(others.any(|other| self.state.friends.are(player, other))));
        }
        match &request.supplied.friends {
            Some(found) if found.player == player => {
                Ok(found.friends.as_ref().map(|friends| others.any(|other| friends.contains(&other))))
            }
            Some(_) | None => Err(Interrupt::Needs(Need::Friends { player })),
        }
    }
}

fn key(player: PlayerUuid, other: PlayerUuid) -> String {
    format!("{player}/{other}")
}

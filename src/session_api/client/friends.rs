//! Friends: who may come into sessions for friends, and see each other's presence session. The
//! Sessions Interface leaves them to the platform; here they are a part of the service, unless it
//! reads another service's.

use super::{ClientError, Sessions, error::Operation};
use crate::{
    model::{
        friends::{FriendRelationship, FriendshipStatus},
        ids::PlayerUuid,
    },
    session_api::endpoints::{self, EmptyBody},
};

/// Relationships asked for at a time.
const PAGE: u32 = 500;

impl Sessions {
    /// Everybody who is a friend, was asked, asks, or has declined.
    pub async fn get_friends(&self) -> Result<Vec<FriendRelationship>, ClientError> {
        let operation = Operation::new("list the player's friends");
        let own = self.myself().await?;
        let mut all: Vec<FriendRelationship> = Vec::new();
        for page in 0.. {
            let list = self.call(&operation, endpoints::page_of_friends(own, page, PAGE)).await?;
            let none = list.friends.is_empty();
            all.extend(list.friends);
            if none || all.len() >= list.page.total as usize {
                break;
            }
        }
        Ok(all)
    }

    /// How the player stands to another.
    pub async fn get_friendship(&self, player: PlayerUuid) -> Result<FriendRelationship, ClientError> {
        let operation = Operation::new(format!("see the friendship with player {player}"));
        self.call(&operation, endpoints::READ_FRIEND.request([&self.myself().await?, &player])).await
    }

    /// Asks a player for friendship; one who has asked already is a friend from now on.
    pub async fn add_friend(&self, player: PlayerUuid) -> Result<FriendRelationship, ClientError> {
        let operation = Operation::new(format!("ask player {player} for friendship"));
        let request = endpoints::ADD_FRIEND.request_with([&self.myself().await?, &player], &EmptyBody {});
        self.call(&operation, request).await
    }

    /// Says yes to a player who has asked; an error if that one hasn't.
    pub async fn accept_friend(&self, player: PlayerUuid) -> Result<FriendRelationship, ClientError> {
        match self.get_friendship(player).await? {
            friend if friend.status == FriendshipStatus::Friends => Ok(friend),
            asks if asks.status == FriendshipStatus::FriendRequestPending => self.add_friend(player).await,
            _ => Err(ClientError::NoFriendRequest { player }),
        }
    }

    /// Ends a friendship, takes a request back, or declines one.
    pub async fn remove_friend(&self, player: PlayerUuid) -> Result<(), ClientError> {
        let operation = Operation::new(format!("remove player {player} from the friends"));
        self.call(&operation, endpoints::REMOVE_FRIEND.request([&self.myself().await?, &player])).await.map(drop)
    }
}

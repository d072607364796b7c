//! `friends`: who they are, and how somebody becomes or ceases to be one.

use super::{
    OutputFormat,
    connect::{Connected, player},
    failed,
};
use crate::{
    cli::{error::Failure, exit::Exit, terminal},
    model::{
        friends::{FriendRelationship, FriendshipStatus},
        ids::PlayerUuid,
    },
};
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session friends\n  gameside session friends add bob\n  gameside session friends accept ada --as bob\n  gameside session friends remove bob"
)]
pub(crate) struct Friends {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List friends and requests
    List,
    /// Ask players for friendship; who has asked already becomes a friend
    Add(PlayerArgs),
    /// Say yes to players who have asked
    Accept(PlayerArgs),
    /// End friendships, take requests back, or decline them
    Remove(PlayerArgs),
}

#[derive(Debug, clap::Args)]
struct PlayerArgs {
    /// UUIDs, or names of players of a service with --dev or the local one
    #[arg(required = true, value_name = "PLAYER", value_parser = player)]
    players: Vec<PlayerUuid>,
}

pub(crate) async fn friends(args: Friends, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let sessions = &connected.sessions;
    let mut changed = Vec::new();
    match args.what.unwrap_or(What::List) {
        What::List => changed = sessions.get_friends().await.map_err(failed)?,
        What::Add(whom) => {
            for player in whom.players {
                changed.push(sessions.add_friend(player).await.map_err(failed)?);
            }
        }
        What::Accept(whom) => {
            for player in whom.players {
                changed.push(sessions.accept_friend(player).await.map_err(failed)?);
            }
        }
        What::Remove(whom) => {
            for player in whom.players {
                sessions.remove_friend(player).await.map_err(failed)?;
                changed.push(sessions.get_friendship(player).await.map_err(failed)?);
            }
        }
    }
    print(form, &changed);
    Ok(Exit::Done)
}

fn print(form: OutputFormat, all: &[FriendRelationship]) {
    if form == OutputFormat::Json {
        say!("{}", Value::from(all.iter().map(value).collect::<Vec<_>>()));
        return;
    }
    let header = ["PLAYER", "STATUS"].map(str::to_owned).to_vec();
    let rows = all.iter().map(|side| vec![side.friends_player_uuid.to_string(), word(side.status).to_owned()]);
    say_part!("{}", terminal::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()));
}

fn value(side: &FriendRelationship) -> Value {
    let mut value = json!({ "player_uuid": side.friends_player_uuid, "status": word(side.status) });
    if side.status != FriendshipStatus::None {
        value["since"] = json!(side.last_modified_on);
    }
    value
}

fn word(status: FriendshipStatus) -> &'static str {
    match status {
        FriendshipStatus::None => "none",
        FriendshipStatus::Friends => "friends",
        FriendshipStatus::FriendRequestSent => "asked",
        FriendshipStatus::FriendRequestPending => "asks",
        FriendshipStatus::FriendRequestDeclinedByOther => "declined",
    }
}
